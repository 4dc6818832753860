// SPDX-License-Identifier: MPL-2.0
//
// A vehicle that takes provisioning, and a cloud whose service `provisioner` may do it (HLD 9).

#pragma once

#include "runtime/json/json.hpp"
#include "runtime/observe/log.hpp"
#include "test/support/vehicle_and_cloud.hpp"

#include <string>
#include <utility>
#include <vector>

namespace test {

inline const std::string provisioning_service = "rpc:jlr.com/vin/1234/provisioning/";

struct provisioned_vehicle : vehicle_and_cloud {
  provisioned_vehicle()
    : vehicle_and_cloud({{"jlr.com/cloud/media_server"}, "media_player"}, {{}, "provisioner"},
                        rvi::log::level::off) {
    vehicle.provisioned = true;
    vehicle.credential = for_vehicle({"jlr.com/cloud/media_server"});
    cloud.credential = provisioner(true);
  }

  void start() {
    start_cloud();
    start_vehicle();
    cloud.register_service("billing", 2);
    connect(vehicle, cloud);
  }

  void connect(loopback_node& from, const loopback_node& to) {
    self->send(from.data_link, rvi::atom::setup_v,
               rvi::setup_request{to.address, to.address, {to.loopback_address}, true, 60'000, {}});
    pass(2'000);
  }

  rvi::credential_ptr for_vehicle(std::vector<std::string> destinations, bool provisioned = true) {
    std::vector<std::string> sources{"jlr.com/vin/1234"};
    if (provisioned)
      sources.push_back("jlr.com/vin/1234/provisioning");
    return provisioning.issue(provisioning.claims(vehicle.key.public_part(), std::move(sources),
                                                  std::move(destinations), now_s()));
  }

  rvi::credential_ptr provisioner(bool administrator) {
    auto claims
      = provisioning.claims(cloud.key.public_part(), {"jlr.com/cloud"},
                            {"jlr.com/vin/+/provisioning", "jlr.com/vin/+/services"}, now_s());
    claims.administrator = administrator;
    return provisioning.issue(std::move(claims));
  }

  /// What the provisioning server hears: the status and the reply or error.
  std::pair<std::string, std::string> ask(const std::string& method, const std::string& arguments) {
    auto before = cloud.services->outcomes.size();
    cloud.invoke("provisioner", provisioning_service + method, arguments, 60'000);
    for (int i = 0; i < 60 && cloud.services->outcomes.size() == before; ++i)
      pass(1'000);
    if (cloud.services->outcomes.size() == before) {
      auto& error = cloud.services->answers.back().error;
      return {"none", error ? rvi::to_string(rvi::code_of(error)) : ""};
    }
    auto& notice = cloud.services->outcomes.back().notice;
    auto error = rvi::json::parse(notice.error);
    auto code = error ? error->root()["code"].as_string() : std::nullopt;
    return {notice.status, code ? std::string{*code} : notice.arguments};
  }

  std::pair<std::string, std::string> add(const rvi::credential_ptr& x) {
    return ask("add_certificate", R"([{"certificate":")" + rvi::written_form(*x) + R"("}])");
  }

  std::pair<std::string, std::string> remove(const std::string& id) {
    return ask("delete_certificate", R"([{"certificate_id":[")" + id + R"("]}])");
  }

  /// What the vehicle hears when it asks for something only a new credential allows.
  rvi::ec charging() {
    vehicle.invoke("media_player", "rpc:jlr.com/cloud/billing/charge", "{}", 30'000);
    auto& error = vehicle.services->answers.back().error;
    auto result = error ? rvi::code_of(error) : rvi::ec::none;
    pass(10'000);
    return result;
  }

  /// A list that revokes this one, handed to the vehicle.
  bool revoked_by_list(const rvi::credential_ptr& x) {
    auto list = provisioning.revocation_list(1, {rvi::revocation_entry_of(*x)}, now_s());
    auto answer
      = world::ask<rvi::atom::done>(vehicle.authorization, rvi::atom::revoke_v, list->text);
    pass(100);
    return bool(answer);
  }

  void restart_vehicle() {
    vehicle.kill();
    start_vehicle();
    pass(10'000);
  }

  using answer = std::pair<std::string, std::string>;
};

} // namespace test
