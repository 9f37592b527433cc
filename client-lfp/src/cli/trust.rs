//! Whom the client takes for its server, and what it does about a stranger.

use client_lfp::{Client, Credentials, Expected, Security, State};
use lfp_proto::identity::{Fingerprint, PublicKey, Secret};
use lfp_proto::seal::Cipher;

use crate::cli::clock::Clock;
use crate::cli::exit::Failure;
use crate::cli::keep::Keep;
use crate::cli::options::{Options, Trust};

/// What is known of the server of a sealed session.
#[derive(Debug)]
pub(crate) struct Trusted {
    keep: Keep,
    /// The server as the user calls it.
    server: String,
    /// The key that it had the last time.
    known: Option<PublicKey>,
    /// The user has named its fingerprint.
    named: bool,
    /// It is established who it is.
    met: bool,
}

/// How the session that `options` ask for is to be protected.
pub(crate) fn security(options: &Options, clock: Clock) -> Result<(Security, Option<Trusted>), Failure> {
    let (server_key, state) = match &options.trust {
        Trust::Plain => return Ok((Security::Plain, None)),
        Trust::Sealed { server_key, state } => (*server_key, state.as_deref()),
    };
    let keep = Keep::open(state)?;
    let own = keep.own_key(&Secret::new(random()?))?;
    let known = keep.known(&options.server)?;
    let server = match (known, server_key) {
        // The key in full saves a round trip over its fingerprint.
        (Some(known), Some(named)) if known.fingerprint() == named => Expected::Key(known),
        (_, Some(named)) => Expected::Fingerprint(named),
        (Some(known), None) => Expected::Key(known),
        (None, None) => Expected::Anyone,
    };
    let ticket = match server {
        Expected::Key(key) => keep.take_ticket(&options.server, &key, clock.wall_s()),
        _ => None,
    };
    let seed = Secret::new(random()?);
    let ciphers = Cipher::liked(has_aes());
    let security = Security::sealed(Credentials { own, server, ciphers, seed, ticket });
    let (server, named) = (options.server.clone(), server_key.is_some());
    Ok((security, Some(Trusted { keep, server, known, named, met: false })))
}

/// Whether the CPU has what makes AES-GCM fast.
fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

impl Trusted {
    /// Keeps what the session tells of its server.
    pub(crate) fn follow(&mut self, client: &mut Client, clock: Clock, quiet: bool) -> Result<(), Failure> {
        let Some(key) = client.server_key() else { return Ok(()) };
        if !self.met && *client.state() == State::Established {
            self.met = true;
            self.meet(&key, quiet)?;
        }
        match client.take_ticket() {
            Some(given) => self.keep.keep_ticket(&self.server, &key, &given, clock.wall_s()),
            None => Ok(()),
        }
    }

    fn meet(&self, key: &PublicKey, quiet: bool) -> Result<(), Failure> {
        if self.known == Some(*key) {
            return Ok(());
        }
        if !self.named && !quiet {
            eprintln!(
                "client-lfp: first time at {}: its key is {} and is kept in {}; `lfp-server fingerprint` there must say the same",
                self.server,
                key.fingerprint(),
                self.keep.known_servers().display()
            );
        }
        self.keep.remember(&self.server, key)
    }

    /// The server had another key the last time, or none that could be checked, and is taken at its word.
    pub(crate) const fn is_new(&self) -> bool {
        self.known.is_none() && !self.named
    }

    /// What to tell the user if the server has `found` and another is expected.
    pub(crate) fn mismatch(&self, expected: Option<Fingerprint>, found: &PublicKey) -> Failure {
        let expected = expected.map_or_else(|| "any".to_owned(), |expected| expected.to_string());
        let (server, found) = (&self.server, found.fingerprint());
        let whence = match self.named {
            true => "named by --server-key".to_owned(),
            false => format!("kept in {}", self.keep.known_servers().display()),
        };
        Failure::WrongKey(format!(
            "no session with {server}: it has another key than the one expected, so it is another server, or somebody is \
             between you and yours; nothing was sent to it\n  expected  {expected}  ({whence})\n  found     {found}\n\
             ask whoever runs the server what `lfp-server fingerprint` says there; if it is the one found, connect once with \
             --server-key {found}, which replaces the one that is kept"
        ))
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::NoSession(format!("cannot get random numbers from the system: {error}")))?;
    Ok(bytes)
}
