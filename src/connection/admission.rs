//! Admission: what a Hello with a valid cookie may have.

use crate::directory::{Directory, NO_SERVICE, Service};
use lfp_proto::hello::{Display, Hello, RefuseReason};
use lfp_proto::packet::Protection;
use lfp_proto::technique::Technique;

/// What the server allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Sessions without encryption are taken.
    pub plain: bool,
    /// Every place is taken.
    pub full: bool,
    /// The server is closing.
    pub closing: bool,
}

/// Why a client was turned away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turned {
    /// For programs.
    pub reason: RefuseReason,
    /// For people: why, and what to do. Names no service that was not asked for.
    pub text: String,
}

/// What a client was given.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// The service that it asked for.
    pub service: &'a Service,
}

impl<'a> Admission<'a> {
    /// Whether `hello`, which came from a proven address in a datagram of this `protection`, may have its session.
    ///
    /// # Errors
    /// The reason, in words that are safe to show to whoever asks.
    pub fn decide(
        hello: &Hello,
        directory: &'a Directory,
        policy: Policy,
        protection: Protection,
    ) -> Result<Self, Turned> {
        let turned = |reason, text: &str| Err(Turned { reason, text: text.to_owned() });
        if policy.closing {
            return turned(RefuseReason::ShuttingDown, "the server is shutting down; try again later");
        }
        // SPEC [LFP-3.2]: A side MUST NOT use plain protection unless its user has named it.
        if protection == Protection::Plain && !policy.plain {
            let text = "`lfp-server serve --plain` takes others as well";
            return turned(RefuseReason::PlainNotAllowed, text);
        }
        // Every cell of every picture fits a record in this technique, and in no other for certain.
        if hello.decoders & Technique::Raw.bit() == 0 {
            let text = "the client must decode uncompressed bitmaps (technique 2)";
            return turned(RefuseReason::Unsupported, text);
        }
        // SPEC [LFP-4.10]: A server MUST answer a HELLO with a valid cookie with REFUSE, reason unsupported parameter, if
        // a display in it has a size that no surface may have and that is not 0 x 0, another depth, or a refresh of 0.
        if let Some(complaint) = hello.displays.iter().find_map(Display::complaint) {
            return turned(RefuseReason::Unsupported, complaint);
        }
        let found = directory.find(&hello.service);
        let Some(service) = found.or_else(|| hello.service.is_empty().then_some(&NO_SERVICE)) else {
            let text = if directory.is_listed() {
                "`client-lfp ADDR:PORT --list` shows those that there are, and a server \
                 started with one --source calls it \"default\""
            } else {
                "ask who runs the server for the one that is meant for you"
            };
            return turned(RefuseReason::UnknownService, text);
        };
        if policy.full {
            let text = "the server has as many sessions as it may; try again when one has ended";
            return turned(RefuseReason::Full, text);
        }
        Ok(Self { service })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::InputPolicy;
    use crate::hypervisor::SourceId;
    use crate::limits::TEXT_MAX;
    use lfp_proto::depth::Depth;
    use lfp_proto::hello::{ClientType, Display};

    fn hello(service: &str, decoders: u32) -> Hello {
        Hello {
            cookie: Vec::new(),
            client_time_us: 0,
            service: service.to_owned(),
            place: String::new(),
            client_type: ClientType::Headless,
            displays: vec![Display::new(None, Depth::Bits24, 60)],
            decoders,
            references: 0,
            datagram_size: 1_200,
            receive_buffer: 65_536,
        }
    }

    #[test]
    fn each_reason_has_its_case_and_says_what_to_do() {
        let mut directory = Directory::default();
        directory.insert("secret-finance-desk", [SourceId(0)], 60, InputPolicy::Exclusive);
        let open = Policy { plain: true, full: false, closing: false };
        let all = lfp_proto::technique::decoders();
        let good = hello("secret-finance-desk", all);
        for (hello, policy, reason) in [
            (&good, Policy { plain: false, ..open }, RefuseReason::PlainNotAllowed),
            (&hello("default", all), open, RefuseReason::UnknownService),
            (&hello("default", all), Policy { full: true, ..open }, RefuseReason::UnknownService),
            (&good, Policy { full: true, ..open }, RefuseReason::Full),
            (&hello("secret-finance-desk", Technique::Bitmap.bit()), open, RefuseReason::Unsupported),
            (&good, Policy { closing: true, ..open }, RefuseReason::ShuttingDown),
        ] {
            let turned = Admission::decide(hello, &directory, policy, Protection::Plain).unwrap_err();
            assert_eq!(turned.reason, reason);
            assert!(!turned.text.is_empty() && turned.text.len() <= TEXT_MAX, "{}", turned.text);
            assert!(!turned.text.contains("finance"), "{}", turned.text);
        }
        let sealed_only = Policy { plain: false, ..open };
        for (policy, protection) in [(open, Protection::Plain), (sealed_only, Protection::Sealed)] {
            let admission = Admission::decide(&good, &directory, policy, protection);
            assert_eq!(admission.unwrap().service.sources.len(), 1);
            let nothing = Admission::decide(&hello("", all), &directory, policy, protection);
            assert!(nothing.unwrap().service.sources.is_empty(), "a client may have come to ask");
        }
    }
}
