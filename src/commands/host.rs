//! `lfp-server host`: the host's side of appliances, and what it can be asked for.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::support::{CommandError, print};
use crate::channel::is_guest_name;
use crate::host::words::{Answer, ApplianceStatus, Attach, AttachmentStatus, GuestStatus, HostStatus, Order};
use crate::host::{GuestConfig, Host, HostConfig, ask, default_dir};
use crate::output::StopSignals;

/// Gives guests of this host to server VMs (appliances), none of which ever holds a guest's monitor
#[derive(Debug, Args)]
pub struct HostArgs {
    /// Where the process has its sockets: /run/lfp-host for root, $XDG_RUNTIME_DIR/lfp-host for others
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: HostCommand,
}

#[derive(Debug, Subcommand)]
enum HostCommand {
    Run(RunArgs),
    Attach(AttachArgs),
    Detach(DetachArgs),
    /// Shows the guests, what they show, and which appliances have them
    List {
        /// Print everything that is known as one JSON object instead
        #[arg(long)]
        json: bool,
    },
    /// Shows the guests and the appliances: what each has, and how that fares
    Status {
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
    },
}

/// Holds the guests' monitors and serves appliances' ports until Ctrl-C
#[derive(Debug, Args)]
struct RunArgs {
    /// A guest, and a QMP socket of it that nobody else uses; may be repeated
    #[arg(long = "guest", value_name = "NAME=QMP", value_parser = parse_guest)]
    guests: Vec<(String, PathBuf)>,
    /// Guests and what appliances may do to them; docs/APPLIANCE.md has the fields
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Find the other QEMU processes of this host, and follow each by a monitor that nobody holds
    #[arg(long)]
    discover: bool,
}

/// Plugs a guest's video memory and its port into a running appliance, and waits until that serves it
#[derive(Debug, Args)]
struct AttachArgs {
    /// The appliance's QMP socket
    #[arg(long, value_name = "QMP")]
    appliance: PathBuf,
    /// The guest's name
    #[arg(long, value_name = "NAME")]
    guest: String,
    /// The name that clients ask for; the guest's unless named
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// The socket of the appliance's control channel, if its QEMU does not say where that is
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// The bus that takes the memory; without this, pci.0 of a pc, the tightest free root port of a q35
    #[arg(long, value_name = "BUS")]
    bus: Option<String>,
    /// Let nobody type into it
    #[arg(long)]
    view_only: bool,
    /// Only print the commands that a person could give: one JSON object on a line
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// Takes a guest away from an appliance
#[derive(Debug, Args)]
struct DetachArgs {
    /// The appliance's QMP socket, or its name in `status`
    #[arg(long, value_name = "QMP")]
    appliance: PathBuf,
    /// The guest's name
    #[arg(long, value_name = "NAME")]
    guest: String,
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

fn parse_guest(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("a guest is NAME=QMP, such as web=/run/web.qmp")?;
    if !is_guest_name(name) {
        return Err(format!(
            "{name:?} is no name: 1 to 32 letters, digits, `-`, `_` and `.`, a letter or digit first"
        ));
    }
    if path.is_empty() {
        return Err(format!("{name} has no monitor: NAME=QMP, such as web=/run/web.qmp"));
    }
    Ok((name.to_owned(), PathBuf::from(path)))
}

/// Runs the host's side, or asks the one that runs.
///
/// # Errors
/// If it cannot start, none runs, or it says why it did not do what it was asked.
pub fn run(args: &HostArgs) -> Result<(), CommandError> {
    let dir = told(args.dir.clone().map_or_else(default_dir, Ok)?)?;
    match &args.command {
        HostCommand::Run(run) => serve(run, &dir),
        HostCommand::Attach(attach) => {
            let order = Order::Attach(Attach {
                appliance: absolute(&attach.appliance)?,
                guest: attach.guest.clone(),
                service: attach.service.clone(),
                control: attach.control.as_deref().map(absolute).transpose()?,
                bus: attach.bus.clone(),
                input: !attach.view_only,
                dry_run: attach.dry_run,
            });
            answer(&dir, &order, attach.json, said)
        }
        HostCommand::Detach(detach) => {
            let is_file = detach.appliance.exists() || detach.appliance.components().count() > 1;
            let appliance =
                if is_file { absolute(&detach.appliance) } else { told(detach.appliance.clone()) }?;
            answer(&dir, &Order::Detach { appliance, guest: detach.guest.clone() }, detach.json, said)
        }
        HostCommand::List { json } => answer(&dir, &Order::Status {}, *json, |answer| match answer {
            Answer::Status(status) => list(status),
            other => said(other),
        }),
        HostCommand::Status { json } => answer(&dir, &Order::Status {}, *json, said),
    }
}

/// What a path means here, wherever the process works that is told.
fn absolute(path: &Path) -> Result<PathBuf, CommandError> {
    told(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

/// A path that can be told to another process: that is done in JSON, whose text is UTF-8.
fn told(path: PathBuf) -> Result<PathBuf, CommandError> {
    if path.to_str().is_some() {
        return Ok(path);
    }
    Err(CommandError::Refused(format!("{} is not UTF-8: name it by another path", path.display())))
}

fn serve(args: &RunArgs, dir: &Path) -> Result<(), CommandError> {
    let mut config = match &args.config {
        Some(file) => HostConfig::load(file)?,
        None => HostConfig::default(),
    };
    let mut told = BTreeSet::new();
    for (name, path) in &args.guests {
        if !told.insert(name) {
            return Err(CommandError::Refused(format!("--guest {name}= is named twice")));
        }
        // The command line names the monitor, the configuration what may be done.
        match config.guests.iter_mut().find(|guest| guest.name == *name) {
            Some(guest) => guest.qmp = Some(path.clone()),
            None => config.guests.push(GuestConfig::of(name.clone(), Some(path.clone()))),
        }
    }
    let mut monitors = BTreeSet::new();
    if let Some(twice) =
        config.guests.iter().filter_map(|guest| guest.qmp.as_ref()).find(|qmp| !monitors.insert(*qmp))
    {
        let twice = twice.display();
        return Err(CommandError::Refused(format!(
            "{twice} is the monitor of two guests: it serves one client at a time"
        )));
    }
    config.discover |= args.discover;
    let mut stop = StopSignals::install().map_err(CommandError::Signals)?;
    let mut host = Host::start(&config, dir)?;
    print(&format!("listening on {}\n", host.socket().display())).map_err(CommandError::Print)?;
    host.run(&mut stop)?;
    Ok(())
}

fn answer(
    dir: &Path,
    order: &Order,
    json: bool,
    text: impl Fn(&Answer) -> String,
) -> Result<(), CommandError> {
    let answer = ask(dir, order)?;
    if let Answer::Error { text } = answer {
        return Err(CommandError::Refused(text));
    }
    let printed = match &answer {
        Answer::Commands(_) => text(&answer),
        Answer::Attached(attached) if json => json_line(attached),
        Answer::Status(status) if json => json_line(status),
        Answer::Detached { .. } if json => json_line(&answer),
        _ => text(&answer),
    };
    print(&printed).map_err(CommandError::Print)
}

fn json_line(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).map_or_else(|error| format!("{error}\n"), |text| text + "\n")
}

/// An answer for people.
fn said(answer: &Answer) -> String {
    match answer {
        Answer::Attached(attached) => format!(
            "{} serves {} as {:?}: {} {} ({})\n",
            attached.appliance,
            attached.guest,
            attached.service.service,
            attached.service.state,
            attached.service.text,
            attached.source
        ),
        Answer::Detached { appliance, guest } => format!("{appliance} has {guest} no more\n"),
        Answer::Commands(commands) => {
            commands.iter().map(|command| format!("{command}\n")).collect::<String>()
        }
        Answer::Status(status) => status_text(status),
        Answer::Error { text } => format!("{text}\n"),
    }
}

/// The guests as a table.
fn list(status: &HostStatus) -> String {
    if status.guests.is_empty() {
        return "no guest is followed\n".to_owned();
    }
    let mut out = format!("{:<32}  {:<14}  {:<26}  GIVEN TO\n", "GUEST", "STATE", "MODE");
    for guest in &status.guests {
        let given: Vec<&str> = status.appliances.iter().filter(|one| has(one, guest)).map(name).collect();
        let given = if given.is_empty() { "-".to_owned() } else { given.join(", ") };
        // Writing to a string does not fail.
        let _ = writeln!(out, "{:<32}  {:<14}  {:<26}  {given}", guest.guest, guest.state, shows(guest));
        if !guest.text.is_empty() {
            let _ = writeln!(out, "{:<32}  {}", "", guest.text);
        }
    }
    out
}

fn has(appliance: &ApplianceStatus, guest: &GuestStatus) -> bool {
    appliance.guests.iter().any(|given| given.guest == guest.guest)
}

fn name(appliance: &ApplianceStatus) -> &str {
    &appliance.appliance
}

fn shows(guest: &GuestStatus) -> String {
    guest.mode.as_ref().map_or_else(
        || "-".to_owned(),
        |mode| format!("{}x{} {}", mode.width, mode.height, mode.format.name()),
    )
}

fn status_text(status: &HostStatus) -> String {
    let mut out = list(status);
    for appliance in &status.appliances {
        let reached = match (&appliance.qmp, appliance.is_reached, appliance.is_controlled) {
            (None, ..) => "ports only",
            (_, false, _) => "out of reach",
            (_, true, false) => "its control channel is closed",
            (_, true, true) => "reached",
        };
        let _ = writeln!(out, "\n{}: {reached}", appliance.appliance);
        for guest in &appliance.guests {
            let _ = writeln!(out, "  {}", given_text(guest));
            if let Some(fault) = &guest.fault {
                let _ = writeln!(out, "    {fault}");
            }
        }
    }
    out
}

fn given_text(given: &AttachmentStatus) -> String {
    let port = &given.port;
    let connected = match (port.is_connected, port.is_greeted) {
        (false, _) => "no port connected",
        (true, false) => "port connected, nobody has said hello",
        (true, true) if port.is_watched => "port in use, watched",
        (true, true) => "port in use",
    };
    let place = given.pci.as_ref().map_or_else(String::new, |pci| format!(" at {pci}"));
    let service = given.service.as_ref().map_or_else(String::new, |service| {
        format!(", serves {:?}: {} {}", service.service, service.state, service.text)
    });
    let (inputs, refused) = (port.inputs, port.refused);
    format!("{}{place}: {connected}, {inputs} inputs, {refused} refused{service}", given.guest)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn guests_are_named_with_their_monitors() {
        assert_eq!(parse_guest("web=/run/a=b.qmp"), Ok(("web".to_owned(), "/run/a=b.qmp".into())));
        for wrong in ["web", "=x", "a b=x", "../a=x"] {
            assert!(parse_guest(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths_that_cannot_be_told_are_refused() {
        assert!(absolute(Path::new("web.qmp")).expect("UTF-8").is_absolute());
        let error = absolute(Path::new(OsStr::from_bytes(b"/run/\xff.qmp"))).expect_err("no UTF-8");
        assert!(error.to_string().contains("name it by another path"), "{error}");
    }
}
