//! Mainstay: the operations platform of a technical team, in one program.
//!
//! This binary links everything: it reads the arguments, and runs a server, a command on the host itself, or the client. Nothing
//! else decides anything here.

mod asking;
mod courier;
mod demo;
mod discovering;
mod doctor;
mod elsewhere;
mod domains;
mod gate;
mod hands;
mod host;
mod listen;
mod machine;
mod measurements;
mod memory;
mod offline;
mod onhost;
mod options;
mod people;
mod probing;
mod reading;
mod reference;
mod rules;
mod samples;
mod server;
mod settings;
mod watchdog;
mod witness;
#[cfg(test)]
mod promises;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

use crate::options::{Data, Serve};

/// The operations platform of a technical team: it knows what you run, watches it, responds when it breaks, and proves how good it was.
#[derive(Debug, Parser)]
#[command(name = "mainstay", version, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    data: Data,
    /// Another server, such as https://mainstay.example.org; the local one when left out.
    #[arg(long, env = "MAINSTAY_SERVER", global = true)]
    server: Option<String>,
    /// API token for --server.
    #[arg(long, env = "MAINSTAY_TOKEN", global = true, hide_env_values = true)]
    token: Option<String>,
    /// Tenant to work in, for staff of the home tenant.
    #[arg(long, env = "MAINSTAY_TENANT", global = true)]
    tenant: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything on this machine, watch it, and print where to sign in.
    Up(Serve),
    /// Run the server.
    Server(Serve),
    /// Ask a system once, as a check does, or list what can be asked.
    #[command(subcommand)]
    Check(probing::Check),
    /// Rules over measurements: import, export, unit tests, replay over the past.
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Look who is there in a network and what serves there, and print it.
    Discover(discovering::Discover),
    /// Only on the host itself: first sign-in, tokens, passwords.
    #[command(subcommand)]
    Admin(onhost::Admin),
    /// Ways to reach people: their secrets, and a proof that they work.
    #[command(subcommand)]
    Channel(onhost::ChannelCommand),
    /// Who may do what, and why.
    #[command(subcommand)]
    Access(onhost::AccessCommand),
    /// Look for what is wrong with this installation, and say what to do.
    Doctor,
    /// Verify the journal's chain, every checksum and the stores.
    Verify {
        /// Anchors kept outside the data directory: a line `TENANT SEQ HASH` each; finds truncation and roll-back.
        #[arg(long)]
        anchor: Option<std::path::PathBuf>,
    },
    /// Print the heads of the journal, to be kept outside the data directory for `verify --anchor`.
    Anchor,
    /// Back up Mainstay's own data into a new folder, while it runs.
    Backup {
        /// The new folder.
        to: std::path::PathBuf,
    },
    /// Restore Mainstay's own data from a backup into an empty data directory.
    Restore {
        /// The backup's folder.
        from: std::path::PathBuf,
        /// Put it in the place of data that is there; that is kept in before-restore.
        #[arg(long)]
        replace: bool,
    },
    /// Write all records, links and journal entries as canonical text.
    Dump,
    /// Write the reference of classes, commands, operations and checks as Markdown.
    Reference {
        /// Folder to write it into.
        to: std::path::PathBuf,
    },
    /// Completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    #[command(flatten)]
    Client(cli::Command),
}

fn main() -> ExitCode {
    if asking::is_starter(std::env::args_os()) {
        return asking::start_for_a_server();
    }
    #[expect(clippy::disallowed_methods, reason = "the one place where settings come in")]
    let environment = |name: &str| std::env::var_os(name);
    let given: Vec<_> = std::env::args_os().collect();
    let serving = settings::serving(&given.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>()).is_some();
    if serving {
        memory::few_arenas(&given, &environment);
    }
    let words = settings::with_file(given, &Arguments::command(), &environment);
    let arguments = match words {
        Ok(words) => Arguments::parse_from(words),
        Err(error) => {
            eprintln!("mainstay: {error:#}");
            return ExitCode::from(2);
        }
    };
    log(serving);
    drop(rustls::crypto::ring::default_provider().install_default());
    // Two workers are enough for a small machine, and a large one has more cores to give.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("mainstay: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(arguments)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let failure = error.downcast_ref::<cli::Failure>();
            if !failure.is_some_and(cli::Failure::is_quiet) {
                eprintln!("mainstay: {error:#}");
            }
            ExitCode::from(failure.map_or(1, |f| f.code))
        }
    }
}

fn log(serving: bool) {
    use tracing_subscriber::EnvFilter;
    let default = if serving { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("MAINSTAY_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // What cannot be written is lost: to say so in the same place would end the thread that said it.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    lines.log_internal_errors(false).init();
}

async fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let data = &arguments.data;
    match arguments.command {
        Command::Up(serve) => server::run(data, &serve, true).await?,
        Command::Server(serve) => server::run(data, &serve, false).await?,
        Command::Check(check) => return probing::run(check).await,
        Command::Rules(command) if command.is_local() => return rules::run_local(&command),
        Command::Rules(command) => {
            rules::run(&client(data, arguments.server, arguments.token, arguments.tenant)?, command).await?;
        }
        Command::Discover(asked) => return discovering::run(asked).await,
        Command::Admin(command) => onhost::admin(data, command, arguments.tenant).await?,
        Command::Channel(command) => onhost::channel(data, command).await?,
        Command::Access(command) => onhost::access(data, command).await?,
        Command::Doctor => return doctor::doctor(data).await,
        Command::Verify { anchor } => return offline::verify(data, anchor.as_deref()).await,
        Command::Anchor => offline::anchor(data).await?,
        Command::Backup { to } => offline::backup(data, &to).await?,
        Command::Restore { from, replace } => offline::restore(data, &from, replace)?,
        Command::Dump => offline::dump(data).await?,
        Command::Reference { to } => reference::write(&to, &Arguments::command())?,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "mainstay", &mut text);
            cli::output::bytes(&text)?;
        }
        Command::Client(command) => {
            let client = client(data, arguments.server, arguments.token, arguments.tenant)?;
            cli::run(&client, command).await?;
        }
    }
    Ok(0)
}

/// A client of the local server, or of the one named.
fn client(
    data: &Data,
    server: Option<String>,
    token: Option<String>,
    tenant: Option<String>,
) -> anyhow::Result<cli::Client> {
    let connection = match server {
        Some(server) => cli::Connection::Remote { server, token },
        None => cli::Connection::Local(data.socket()),
    };
    Ok(cli::Client::new(&connection, courier::client_tls()?)?.in_tenant(tenant))
}
