//! The reference client of LFP, for the command line.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
