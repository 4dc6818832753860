// SPDX-License-Identifier: MPL-2.0
//
// The vehicle and the cloud of HLD chapter 8, whole nodes on virtual time: the vehicle knows the
// way to the cloud, each has one service. RVI_LOG in the environment shows what they log.

#pragma once

#include "runtime/observe/log.hpp"
#include "test/support/loopback_node.hpp"

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace test {

struct vehicle_and_cloud : world {
  struct side {
    std::vector<std::string> destinations; // of its credential
    std::string service;
  };

  vehicle_and_cloud(side of_vehicle, side of_cloud, rvi::log::level level = rvi::log::level::error)
    : vehicle_service(std::move(of_vehicle.service)),
      cloud_service(std::move(of_cloud.service)),
      vehicle(*this, "jlr.com/vin/1234", "vehicle", std::move(of_vehicle.destinations)),
      cloud(*this, "jlr.com/cloud", "cloud", std::move(of_cloud.destinations)) {
    (void)rvi::log::configure(std::getenv("RVI_LOG") ? rvi::log::level::debug : level,
                              rvi::log::format::text);
    vehicle.routes = {{"+:jlr.com/cloud/#", {"loopback:cloud"}}};
    cloud.infix = "";
  }

  void start_vehicle() {
    vehicle.start();
    vehicle.register_service(vehicle_service);
  }

  void start_cloud() {
    cloud.start();
    cloud.register_service(cloud_service);
  }

  std::string vehicle_service;
  std::string cloud_service;
  loopback_node vehicle;
  loopback_node cloud;
};

} // namespace test
