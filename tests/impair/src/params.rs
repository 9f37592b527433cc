//! What is wrong with one direction of a link.

use core::time::Duration;

use lfp_proto::units::Bitrate;

/// A share of all cases, in parts per million.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Share(u32);

impl Share {
    /// No case.
    pub const ZERO: Self = Self(0);
    /// Parts of a whole.
    pub const WHOLE: u64 = 1_000_000;

    /// So many percent, at most 100.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        assert!(percent <= 100, "a share is at most 100 %");
        Self(percent * 10_000)
    }

    /// So many parts per million, at most all of them.
    pub(crate) fn of_ppm(ppm: u64) -> Option<Self> {
        u32::try_from(ppm).ok().filter(|_| ppm <= Self::WHOLE).map(Self)
    }

    /// Parts per million.
    #[must_use]
    pub const fn ppm(self) -> u64 {
        self.0 as u64
    }
}

/// Losses that come together (Gilbert-Elliott): a link is good or bad, and changes its mind at each datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bursts {
    /// Chance that a good link turns bad.
    pub enter: Share,
    /// Chance that a bad one turns good; its inverse is the mean length of a burst in datagrams.
    pub leave: Share,
    /// Loss while bad.
    pub loss: Share,
}

impl Bursts {
    /// Bursts in which everything is lost, of `mean` datagrams on average, that take `share` of all datagrams;
    /// `None` if that is all of them, or if `mean` is below 1.
    #[must_use]
    pub fn lasting(mean: u32, share: Share) -> Option<Self> {
        let good = Share::WHOLE.checked_sub(share.ppm()).filter(|good| *good > 0)?;
        let leave = Share::of_ppm(Share::WHOLE.checked_div(u64::from(mean))?)?;
        // In the long run as many bursts begin as end.
        let enter = Share::of_ppm(leave.ppm() * share.ppm() / good)?;
        Some(Self { enter, leave, loss: Share::percent(100) })
    }
}

/// A token bucket that drops what comes too fast, as providers put it before what they sell: it delays nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policer {
    /// What it lets pass in the long run, headers included.
    pub rate: Bitrate,
    /// Bytes that pass at once after a rest.
    pub bucket_bytes: u64,
}

/// What becomes of the bits by which a datagram may be marked in place of being dropped (ECN).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ecn {
    /// They are cleared, as many a router does.
    #[default]
    Bleached,
    /// What finds more than so many bytes before the bottleneck is marked; what may not be is dropped.
    Above(u64),
    /// Whatever may be is marked, for no reason.
    All,
}

/// What one direction of a link does to datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    /// From end to end, without waiting.
    pub delay: Duration,
    /// At most so much more, at random; does not change the order.
    pub jitter: Duration,
    /// Single losses.
    pub loss: Share,
    /// Losses in bursts.
    pub bursts: Option<Bursts>,
    /// Share that is held back so that later ones overtake it.
    pub reorder: Share,
    /// For how long at most.
    pub reorder_by: Duration,
    /// Share that comes twice.
    pub duplicate: Share,
    /// Share in which a few bits are flipped.
    pub corrupt: Share,
    /// What the bottleneck carries, headers included; `None` for no bottleneck.
    pub rate: Option<Bitrate>,
    /// Bytes that wait before the bottleneck; what does not fit is dropped.
    pub queue_bytes: u64,
    /// Longest IP packet, headers included: what is longer vanishes without a word. `None`: any passes.
    pub mtu: Option<u16>,
    /// What stands before the bottleneck, and drops what is faster than was sold.
    pub policer: Option<Policer>,
    /// What becomes of ECN's bits.
    pub ecn: Ecn,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Share::ZERO,
            bursts: None,
            reorder: Share::ZERO,
            reorder_by: Duration::from_millis(10),
            duplicate: Share::ZERO,
            corrupt: Share::ZERO,
            rate: None,
            queue_bytes: 256 * 1024,
            mtu: None,
            policer: None,
            ecn: Ecn::Bleached,
        }
    }
}

impl Params {
    /// The same path without faults: delay, bottleneck with its marks (those without a reason are a fault), policer and the longest
    /// packet stay.
    #[must_use]
    pub fn without_faults(self) -> Self {
        let Self { delay, rate, queue_bytes, mtu, policer, ecn, .. } = self;
        let ecn = if ecn == Ecn::All { Ecn::Bleached } else { ecn };
        Self { delay, rate, queue_bytes, mtu, policer, ecn, ..Self::default() }
    }
}
