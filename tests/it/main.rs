//! Integration tests: the house's own rules, real sockets, real guests.

mod golden;
mod house;
