//! The words of the control channel. The appliance speaks first, with [`FromAppliance::Hello`], and again whenever it
//! begins anew; the host then says again what it has attached.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the host asks for. Each is answered once, in order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Comes back with the answer.
    pub id: u64,
    /// What.
    #[serde(rename = "do")]
    pub command: Command,
}

/// What can be asked of an appliance.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Serves a source from now on. A service of that name that was attached before is replaced; one of the
    /// configuration is not, which is an error.
    Attach {
        /// The name that clients ask for.
        service: String,
        /// Where its pixels come from, such as `ivshmem:0000:00:07.0?guest=web`.
        source: String,
        /// Whether clients may type, one at a time. Default: yes.
        #[serde(default = "yes")]
        input: bool,
    },
    /// Ends a service that was attached, and its sessions with it.
    Detach {
        /// Its name.
        service: String,
    },
    /// Asks how the appliance is: the answer is a [`Status`].
    Status {},
    /// Replaces the configuration's services and settings. What is wrong with it is the answer, and nothing changes.
    Configure {
        /// As a configuration file has it.
        config: Value,
    },
}

const fn yes() -> bool {
    true
}

/// What an appliance says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "snake_case", deny_unknown_fields)]
pub enum FromAppliance {
    /// The beginning of a conversation.
    Hello {
        /// [`super::VERSION`].
        version: u32,
        /// Of the program.
        program: String,
        /// What is wrong with the configuration, if something is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// What was asked for is done.
    Done {
        /// The request's.
        id: u64,
    },
    /// It is not, and nothing has changed.
    Error {
        /// The request's; `None`: a line that was no request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// Why, and what to do.
        text: String,
    },
    /// How the appliance is.
    Status {
        /// The request's.
        id: u64,
        /// That.
        status: Status,
    },
    /// What a service shows has changed. Said unasked, at once after [`Self::Done`] of an attachment too.
    Service(ServiceStatus),
}

/// How an appliance is.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// Of the program.
    pub program: String,
    /// By which clients know it.
    pub fingerprint: String,
    /// Address and port that it listens on.
    pub listen: String,
    /// Sessions now.
    pub sessions: usize,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
    /// What is wrong with the configuration, if something is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Every service, by name; those that fit a line.
    pub services: Vec<ServiceStatus>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_none")]
    pub services_left_out: usize,
}

const fn is_none(count: &usize) -> bool {
    *count == 0
}

/// How a service is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub service: String,
    /// Its first source.
    pub source: String,
    /// `live`, `connecting`, `no-framebuffer`, `gone` or `faulty`; `waiting` until it is looked at for the first time.
    pub state: String,
    /// For people: the mode of a picture, or why there is none.
    pub text: String,
    /// Sessions that watch it.
    pub sessions: usize,
    /// It was attached; else it is the configuration's.
    pub is_attached: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_as_the_document_has_them() {
        let text = r#"{"id":3,"do":{"attach":{"service":"web","source":"ivshmem:0000:00:07.0?guest=web"}}}"#;
        let request: Request = serde_json::from_str(text).expect("understood");
        let Command::Attach { service, input, .. } = &request.command else { panic!("{request:?}") };
        assert_eq!((request.id, service.as_str(), *input), (3, "web", true));
        assert!(serde_json::from_str::<Request>(r#"{"id":3,"do":{"status":{}}}"#).is_ok());
        for text in
            [r#"{"do":{"status":{}}}"#, r#"{"id":1,"do":{"quit":{}}}"#, r#"{"id":1,"do":"status","x":1}"#]
        {
            assert!(serde_json::from_str::<Request>(text).is_err(), "{text}");
        }
    }
}
