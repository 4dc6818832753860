// SPDX-License-Identifier: MPL-2.0

#include "tools/issuer.hpp"

#include "messages/name.hpp"
#include "tools/text_files.hpp"

namespace rvi {

expected<std::string> normal_organization(const std::string& text) {
  auto result = normalise_pattern(text);
  if (!result)
    return result;
  if (result->find_first_of("/:+#") != result->npos)
    return caf::make_error(ec::bad_request, text + " is no organization such as jlr.com");
  return result;
}

expected<trust_anchors> read_anchors(const std::vector<std::string>& paths) {
  trust_anchors result;
  for (auto& path : paths) {
    auto text = read_text(path);
    if (!text)
      return std::move(text.error());
    if (auto error = result.add(*text))
      return caf::make_error(code_of(error), path + ": " + detail_of(error));
  }
  return result;
}

} // namespace rvi
