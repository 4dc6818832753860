# SPDX-License-Identifier: MPL-2.0
#
# Copies product sources into the build folder and applies the patches of this folder to the copies,
# in order of their numbers.
#   apply.py SOURCE_ROOT OUTPUT_FOLDER PATCH... -- SOURCE...   (sources relative to their root)

import pathlib
import shutil
import subprocess
import sys

root, output = map(pathlib.Path, sys.argv[1:3])
end = sys.argv.index('--')
patches = sorted(map(pathlib.Path, sys.argv[3:end]))
sources = sys.argv[end + 1:]

tree = output / 'tree'
shutil.rmtree(tree, ignore_errors=True)
for source in sources:
    (tree / source).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(root / source, tree / source)

for patch in patches:
    text = patch.read_text()
    number = int(patch.name.split('-')[0])
    named = [line[6:].strip() for line in text.splitlines() if line.startswith('+++ b/')]
    if not named or f'planted({number})' not in text:
        sys.exit(f'{patch.name}: a patch changes files and asks for planted({number})')
    for name in named:
        if name not in sources:
            sys.exit(f'{patch.name}: changes {name}, which meson.build does not list')
    done = subprocess.run(
        ['patch', '-p1', '--fuzz=3', '--no-backup-if-mismatch', '--batch', '--forward',
         '-i', str(patch.resolve())],
        cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f'{patch.name} does not apply any more: plant this fault anew in '
                 f'{", ".join(named)}, then update the patch\n{done.stdout}')

for source in sources:
    text = (tree / source).read_text()
    copy = output / pathlib.Path(source).name
    # What has not changed need not be compiled again.
    if not copy.exists() or copy.read_text() != text:
        copy.write_text(text)
