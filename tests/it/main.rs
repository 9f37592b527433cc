//! Tests with real sockets, real processes and real guests, and of the house itself. `tests/README.md` says how to
//! run one.

mod harness;

mod appliance;
mod confined;
mod descriptors;
mod fairness;
mod firmware;
mod golden;
mod guests;
mod host;
mod host_attach;
mod hostile;
mod house;
mod identity;
mod input;
mod lifecycle;
mod links;
mod many;
mod monitors;
mod paths;
mod ports;
mod profiles;
mod quality;
mod returning;
mod sealed;
mod services;
mod soak;
mod sockets;
mod streams;
mod wrong_config;
