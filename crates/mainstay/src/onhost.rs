//! Commands on the host itself: they open the data directory when no server holds it, or ask the server over its local socket.

use clap::{Subcommand, ValueEnum};
use cli::output;
use serde_json::{Value, json};

use crate::courier::client_tls;
use crate::options::Data;

/// On the host itself.
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Make a new first sign-in: whoever uses it is an administrator. For a lost password or second factor.
    Reset,
    /// API tokens.
    #[command(subcommand)]
    Token(TokenCommand),
}

/// Tokens, on the host itself.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; its secret is shown this once.
    Create {
        /// Role of an API token, repeated for more; keys of agents and for intake have none.
        #[arg(long)]
        role: Vec<String>,
        /// What it is for.
        #[arg(long, default_value = "made on the host")]
        name: String,
        /// Days until it ends, at most 365.
        #[arg(long, default_value_t = 365)]
        days: u64,
        /// api, ingest or agent.
        #[arg(long, default_value = "api")]
        use_for: String,
        /// Form of the output.
        #[arg(long, short, value_enum, default_value_t)]
        output: Form,
    },
    /// Tokens that there are.
    List,
    /// End a token at once.
    Revoke {
        /// Its id.
        id: String,
    },
}

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// The bare value.
    #[default]
    Text,
    /// JSON.
    Json,
}

/// Channels.
#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// Enter a channel's secret (password of the mail server, key of the webhook), read from standard input.
    Secret {
        /// Key of the channel.
        channel: String,
    },
    /// Send a test message and show the provider's answer.
    Test {
        /// Key of the channel.
        channel: String,
        /// Address, when it is another than the channel's own.
        #[arg(long)]
        to: Option<String>,
    },
}

/// Access.
#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// Explain a decision: which policy allows or forbids, and why.
    Explain {
        /// Key of the person.
        person: String,
        /// Operation: read, create, update, delete, link, note, transition:acknowledge …
        operation: String,
        /// Class.
        class: String,
        /// Key of a record.
        key: Option<String>,
    },
}

/// A client over the local socket.
///
/// # Errors
/// There is no server.
pub fn local(data: &Data) -> anyhow::Result<cli::Client> {
    Ok(cli::Client::new(&cli::Connection::Local(data.socket()), client_tls()?)?)
}

/// First sign-in and tokens.
///
/// # Errors
/// What the server refuses.
pub async fn admin(data: &Data, command: Admin, tenant: Option<String>) -> anyhow::Result<()> {
    let client = local(data)?.in_tenant(tenant);
    match command {
        Admin::Reset => {
            let answer = client.json("POST", "/api/v1/host/reset", Some(&json!({}))).await?;
            output::say(answer.get("link").and_then(Value::as_str).unwrap_or_default())?;
            output::say("Whoever opens this link within 30 minutes becomes an administrator.")?;
        }
        Admin::Token(TokenCommand::Create { role, name, days, use_for, output }) => {
            let body = json!({"name": name, "use_for": use_for, "roles": role, "days": days});
            let made = client.json("POST", "/api/v1/tokens", Some(&body)).await?;
            match output {
                Form::Json => output::say(&made.to_string())?,
                Form::Text => output::say(made.get("token").and_then(Value::as_str).unwrap_or_default())?,
            }
        }
        Admin::Token(TokenCommand::List) => {
            output::json(&client.json("GET", "/api/v1/tokens", None).await?)?;
        }
        Admin::Token(TokenCommand::Revoke { id }) => {
            client.json("DELETE", &format!("/api/v1/tokens/{}", cli::client::escaped(&id)), None).await?;
            output::say(&format!("revoked {id}"))?;
        }
    }
    Ok(())
}

/// Secrets and tests of channels.
///
/// # Errors
/// What the server refuses.
pub async fn channel(data: &Data, command: ChannelCommand) -> anyhow::Result<()> {
    let client = local(data)?;
    match command {
        ChannelCommand::Secret { channel } => {
            let secret = std::io::read_to_string(std::io::stdin())?;
            let secret = secret.trim_end_matches(['\n', '\r']);
            client
                .json(
                    "PUT",
                    &format!("/api/v1/host/channels/{}/secret", cli::client::escaped(&channel)),
                    Some(&json!({"secret": secret})),
                )
                .await?;
            output::say(&format!("kept, for the server that {channel} names now; changing that server drops it"))?;
        }
        ChannelCommand::Test { channel, to } => {
            let answer = client
                .json(
                    "POST",
                    &format!("/api/v1/host/channels/{}/test", cli::client::escaped(&channel)),
                    Some(&json!({"to": to})),
                )
                .await?;
            output::say(&format!("accepted: {}", answer.get("receipt").and_then(Value::as_str).unwrap_or_default()))?;
        }
    }
    Ok(())
}

/// Explains decisions.
///
/// # Errors
/// What the server refuses.
pub async fn access(data: &Data, command: AccessCommand) -> anyhow::Result<()> {
    let AccessCommand::Explain { person, operation, class, key } = command;
    let body = json!({"person": person, "operation": operation, "class": class, "key": key});
    let answer = local(data)?.json("POST", "/api/v1/host/explain", Some(&body)).await?;
    output::say(answer.get("text").and_then(Value::as_str).unwrap_or_default())?;
    Ok(())
}
