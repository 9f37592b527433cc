//! The client's core against a server of a few lines, in virtual time.

mod apply;
mod cache;
mod digests;
mod echo;
mod hostile;
mod input;
mod marks;
mod references;
mod server;
mod session;
