//! What a link did.

use core::fmt;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a link did to the datagrams given to it. Whatever was sent is delivered, counted once under one of
        /// the drops, or still in flight: `sent + duplicated = delivered + lost + lost_in_bursts + blacked_out +
        /// too_long + policed + overflowed + in flight`.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counts {
            /// Every count with its name, in order.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }

            /// Adds the counts of another link.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counts! {
    /// Datagrams given to the link.
    sent,
    /// Datagrams that came out of it, copies included.
    delivered,
    /// Dropped singly, at random.
    lost,
    /// Dropped in bursts.
    lost_in_bursts,
    /// Dropped during a blackout.
    blacked_out,
    /// Dropped because they were longer than the path takes.
    too_long,
    /// Dropped by the policer.
    policed,
    /// Dropped because the bottleneck's queue, or the link, was full.
    overflowed,
    /// Marked as having met congestion (CE).
    marked,
    /// Copies made.
    duplicated,
    /// Delivered after one that was sent later.
    reordered,
    /// Changed under way.
    corrupted,
    /// Bytes given to the link.
    bytes_sent,
    /// Bytes that came out of it.
    bytes_delivered,
}

impl Counts {
    /// One JSON object on one line.
    #[must_use]
    pub fn json(&self) -> String {
        let fields: Vec<_> =
            self.named().iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("{{{}}}", fields.join(", "))
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.named().iter().map(|(name, value)| format!("{name} {value}")).collect();
        f.write_str(&fields.join(", "))
    }
}
