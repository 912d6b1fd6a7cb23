//! Listeners: TCP (with TLS when given a certificate) and the local socket, both serving the same router.

use anyhow::{Context, bail};
use api::caller::LocalPeer;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tower::Service;

/// Connections at the same time over the network; the local socket has its own.
const CONNECTIONS: usize = 2048;
/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(30);

/// Binds the network listener.
///
/// # Errors
/// The address is taken or may not be used; says what to do.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("{address} is taken by another program: stop it, or choose another address with --listen")
        }
        std::io::ErrorKind::PermissionDenied => anyhow::anyhow!(
            "{address} needs root: choose a port from 1024 on with --listen, or grant CAP_NET_BIND_SERVICE"
        ),
        std::io::ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!("{address} is no address of this machine: choose another with --listen")
        }
        _ => anyhow::anyhow!("cannot listen on {address}: {e}"),
    })
}

/// Binds the local socket, 0600; a stale one of an ended server is replaced (the data directory's lock is held by then).
///
/// # Errors
/// The directory cannot be written.
pub fn bind_local(path: &Path) -> anyhow::Result<UnixListener> {
    if path.as_os_str().len() > 100 {
        bail!(
            "the path of the local socket is longer than 100 bytes, which the system does not allow: {}; choose a shorter --data",
            path.display()
        );
    }
    let _ = std::fs::remove_file(path);
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot make the local socket {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves the network until the future is dropped.
pub async fn serve(listener: TcpListener, router: Router, tls: Option<Arc<rustls::ServerConfig>>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let acceptor = tls.map(tokio_rustls::TlsAcceptor::from);
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a client that left: neither may end the server.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (router, acceptor) = (router.clone(), acceptor.clone());
        tokio::spawn(async move {
            match acceptor {
                None => connection(TokioIo::new(stream), router, Origin::Net(peer)).await,
                Some(acceptor) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HEAD, acceptor.accept(stream)).await {
                        connection(TokioIo::new(stream), router, Origin::Net(peer)).await;
                    }
                }
            }
            drop(slot);
        });
    }
}

/// Serves the local socket until the future is dropped.
pub async fn serve_local(listener: UnixListener, router: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Without the peer's uid nobody is known, and so nobody is let in.
        let Ok(credentials) = stream.peer_cred() else { continue };
        let (router, uid) = (router.clone(), credentials.uid());
        tokio::spawn(async move { connection(TokioIo::new(stream), router, Origin::Local(uid)).await });
    }
}

#[derive(Clone, Copy)]
enum Origin {
    Net(SocketAddr),
    Local(u32),
}

async fn connection<S>(io: S, router: Router, origin: Origin)
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        match origin {
            Origin::Net(peer) => drop(request.extensions_mut().insert(ConnectInfo(peer))),
            Origin::Local(uid) => drop(request.extensions_mut().insert(LocalPeer { uid })),
        }
        router.clone().call(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(hyper_util::rt::TokioTimer::new()).header_read_timeout(HEAD);
    builder.http2().timer(hyper_util::rt::TokioTimer::new()).max_concurrent_streams(128);
    if let Err(error) = builder.serve_connection_with_upgrades(io, service).await {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// TLS from a certificate chain and key in PEM.
///
/// # Errors
/// Files that cannot be read or do not belong together.
pub fn tls(certificate: &Path, key: &Path) -> anyhow::Result<Arc<rustls::ServerConfig>> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .with_context(|| format!("cannot read {}", certificate.display()))?
        .collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("cannot read {}", key.display()))?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("certificate and key do not belong together")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
