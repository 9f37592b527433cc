//! What a kernel may lack, and what is done without it.

/// Something of the kernel's that the output can do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Facility {
    /// One long send is cut into datagrams (`UDP_SEGMENT`). Without it, each is sent by itself.
    Segments,
    /// One call sends several messages. Without it, each is a call.
    Sendmmsg,
    /// One call receives several datagrams. Without it, each is a call.
    Recvmmsg,
    /// Several sockets have one address (`SO_REUSEPORT`). Without it, there is one.
    Reuseport,
    /// What is sent may be marked where there is congestion (ECT(0), by `IP_TOS` and `IPV6_TCLASS`). Without it, it is dropped
    /// there.
    Ecn,
}

/// Those that are used: what the kernel has, less what it is to be thought to lack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facilities(u8);

impl Facilities {
    /// All of them.
    pub const ALL: Self = Self(0b1_1111);

    const fn bit(facility: Facility) -> u8 {
        1 << facility as u8
    }

    pub(super) const fn has(self, facility: Facility) -> bool {
        self.0 & Self::bit(facility) != 0
    }

    /// All but `facility`.
    #[must_use]
    pub const fn without(self, facility: Facility) -> Self {
        Self(self.0 & !Self::bit(facility))
    }

    /// Goes on without `facility`, of which `why` is said once.
    pub(super) fn give_up(&mut self, facility: Facility, why: impl std::fmt::Display) {
        if self.has(facility) {
            *self = self.without(facility);
            tracing::info!(?facility, %why, "the kernel lacks something; it goes on without");
        }
    }
}
