# SPDX-License-Identifier: MPL-2.0
"""Writes the scenario files into one C++ source, so that the program carries them."""

import pathlib
import sys

out, *files = sys.argv[1:]
text = '#include "tools/simulation/built_in.hpp"\n\nnamespace rvi::simulation {\n\n'
text += "const std::vector<std::pair<std::string, std::string>>& built_in_files() {\n"
text += "  static const std::vector<std::pair<std::string, std::string>> files{\n"
for name in sorted(files):
    path = pathlib.Path(name)
    text += f'    {{"{path.stem}", R"toml({path.read_text()})toml"}},\n'
text += "  };\n  return files;\n}\n\n} // namespace rvi::simulation\n"
pathlib.Path(out).write_text(text)
