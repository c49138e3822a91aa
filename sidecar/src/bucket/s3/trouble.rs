//! What can be wrong on the way to an S3 server, and in its front: a network and answers that fail on demand.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::Body;
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::S3Service;
use s3s::{S3Result, s3_error};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;

/// A slow line gets its share so often.
const SHARE: Duration = Duration::from_millis(125);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trouble {
    /// Nothing does.
    #[default]
    None,
    /// Nobody is there: connections break, and none comes about.
    Away,
    /// Every request is answered by that status and code, and nothing is done.
    Answers(u16, &'static str),
    /// The same for requests that store something.
    Refuses(u16, &'static str),
    /// The same for requests that remove something.
    Keeps(u16, &'static str),
    /// So many bytes a second go each way, on each connection.
    Slow(usize),
    /// A connection breaks when so many bytes came by it.
    Torn(usize),
    /// Every connection answers one request and breaks as the next one comes.
    Once,
    /// What is asked to be stored is stored; the connection breaks before the first answer of each key.
    Mute,
}

/// The way to a server.
pub struct Way {
    trouble: watch::Sender<Trouble>,
    felt: AtomicU64,
    asked: AtomicU64,
    markers: AtomicU64,
    muted: Mutex<HashMap<String, u64>>,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            trouble: watch::Sender::new(Trouble::None),
            felt: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            markers: AtomicU64::new(0),
            muted: Mutex::default(),
        }
    }
}

impl Way {
    /// From now on that goes wrong.
    pub fn set(&self, trouble: Trouble) {
        self.felt.store(0, Relaxed);
        self.trouble.send_replace(trouble);
    }

    /// How often what goes wrong now has done so: the proof that somebody felt it.
    pub fn felt(&self) -> u64 {
        self.felt.load(Relaxed)
    }

    /// Requests so far.
    pub fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    /// Those of them that were about owner markers.
    pub fn markers(&self) -> u64 {
        self.markers.load(Relaxed)
    }

    fn now(&self) -> Trouble {
        *self.trouble.borrow()
    }

    fn feel(&self) {
        self.felt.fetch_add(1, Relaxed);
    }

    /// One connection, to its end or until the server goes away.
    pub async fn serve(self: Arc<Self>, socket: TcpStream, acceptor: TlsAcceptor, service: S3Service) {
        let mut trouble = self.trouble.subscribe();
        let line = Line { socket, way: self.clone(), read: 0, sleeping: [None, None] };
        let answered = AtomicU64::new(0);
        let talk = async {
            let Ok(stream) = acceptor.accept(line).await else { return };
            let answer = service_fn(|request| {
                let spent = answered.fetch_add(1, Relaxed) > 0 && self.now() == Trouble::Once;
                self.answer(&service, request, spent)
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        };
        tokio::select! {
            biased;
            _ = trouble.wait_for(|trouble| *trouble == Trouble::Away) => self.feel(),
            () = talk => {}
        }
    }

    async fn answer(
        &self,
        service: &S3Service,
        request: Request<Incoming>,
        spent: bool,
    ) -> Result<Response<Body>, io::Error> {
        if spent {
            self.feel();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.asked.fetch_add(1, Relaxed);
        let stores = [Method::PUT, Method::POST].contains(request.method());
        let marker = request.uri().to_string().contains("shard-");
        self.markers.fetch_add(u64::from(marker), Relaxed);
        match self.now() {
            Trouble::Answers(status, code) => return self.refuse(request, status, code).await,
            Trouble::Refuses(status, code) if stores => return self.refuse(request, status, code).await,
            Trouble::Keeps(status, code) if request.method() == Method::DELETE => {
                return self.refuse(request, status, code).await;
            }
            _ => {}
        }
        let (key, method) = (request.uri().path().to_owned(), request.method().clone());
        let answer = service.call(request.map(Body::from)).await;
        let answer = answer.map_err(|error| io::Error::other(format!("{error:?}")))?;
        if self.now() == Trouble::Mute && method == Method::PUT {
            let mut muted = self.muted.lock().unwrap();
            let times = muted.entry(key).or_default();
            *times += 1;
            if *times == 1 {
                self.feel();
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
        Ok(answer)
    }

    /// Hears the request out, as servers do.
    async fn refuse(
        &self,
        mut request: Request<Incoming>,
        status: u16,
        code: &str,
    ) -> Result<Response<Body>, io::Error> {
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(request.body_mut()).poll_frame(context)).await {
            frame.map_err(io::Error::other)?;
        }
        self.feel();
        let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>on purpose</Message></Error>");
        let mut answer = Response::new(Body::from(text));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        Ok(answer)
    }
}

/// A socket with what is wrong on its way.
struct Line {
    socket: TcpStream,
    way: Arc<Way>,
    /// Bytes so far.
    read: usize,
    /// Reading, writing.
    sleeping: [Option<Pin<Box<Sleep>>>; 2],
}

impl Line {
    /// How many bytes may go now.
    fn share(&mut self, way: usize, context: &mut Context<'_>) -> Poll<usize> {
        let Trouble::Slow(rate) = self.way.now() else { return Poll::Ready(usize::MAX) };
        if let Some(sleeping) = &mut self.sleeping[way] {
            ready!(sleeping.as_mut().poll(context));
            self.sleeping[way] = None;
        }
        Poll::Ready((rate / 8).max(1))
    }

    /// So many of them went.
    fn went(&mut self, way: usize, bytes: usize) {
        if matches!(self.way.now(), Trouble::Slow(_)) && bytes > 0 {
            self.way.feel();
            self.sleeping[way] = Some(Box::pin(sleep(SHARE)));
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let share = ready!(this.share(0, context)).min(buffer.remaining()).min(16 << 10);
        let mut bytes = vec![0; share];
        let mut part = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut this.socket).poll_read(context, &mut part))?;
        let read = part.filled();
        buffer.put_slice(read);
        this.read += read.len();
        if let Trouble::Torn(most) = this.way.now()
            && this.read > most
        {
            this.way.feel();
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let count = read.len();
        this.went(0, count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let share = ready!(this.share(1, context)).min(buffer.len());
        let written = ready!(Pin::new(&mut this.socket).poll_write(context, &buffer[..share]))?;
        this.went(1, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

/// The one key that opens a server; it can be replaced.
#[derive(Clone)]
pub struct Keys {
    id: String,
    secret: Arc<Mutex<String>>,
}

impl Keys {
    /// This one.
    pub fn new(id: &str, secret: &str) -> Self {
        Self { id: id.to_owned(), secret: Arc::new(Mutex::new(secret.to_owned())) }
    }

    /// The one before has expired.
    pub fn renew(&self, secret: &str) {
        secret.clone_into(&mut self.secret.lock().unwrap());
    }
}

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.id {
            return Ok(self.secret.lock().unwrap().clone().into());
        }
        Err(s3_error!(InvalidAccessKeyId))
    }
}
