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

caf::error in_file(const std::string& path, const caf::error& x) {
  return caf::make_error(code_of(x), path + ": " + detail_of(x));
}

caf::error follow_list(const std::string& path, const std::string& issuer,
                       const trust_anchors& anchors, revocation_set_ptr& former) {
  auto text = read_text(path);
  if (!text)
    return std::move(text.error());
  auto carried = carried_list(trimmed_end(std::move(*text)));
  auto list = carried ? parse_revocation_list(*carried) : std::move(carried.error());
  if (!list)
    return in_file(path, list.error());
  auto& x = **list;
  if (x.issuer != issuer)
    return caf::make_error(ec::unknown_issuer,
                           path + ": a list of " + x.issuer + ", not of " + issuer);
  if (auto error = verify_revocation_list(x, anchors))
    return in_file(path, error);
  auto sum = apply_revocation_list(former.get(), x);
  if (code_of(sum.error()) == ec::not_found)
    return caf::make_error(ec::bad_request, path + ": adds to list " + std::to_string(x.base)
                                              + ", which must be given before it");
  if (!sum)
    return in_file(path, sum.error());
  former = std::move(*sum);
  return {};
}

} // namespace rvi
