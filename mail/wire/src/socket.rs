//! WebSockets of both libraries as streams and sinks of messages.

use std::future::ready;
use std::time::Duration;

use axum::extract::ws;
use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, tungstenite};

use crate::WireError;
use crate::limits::NOTSENT_LOWAT;

const NOT_BINARY: WireError = WireError::Protocol("a message that is not binary");

/// Small answers leave at once, and large ones do not pile up in the kernel before them.
pub fn tune(stream: &TcpStream) {
    // Both only make things faster; a system that refuses them works all the same.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOTSENT_LOWAT);
}

/// The server's side.
pub fn accepted(
    socket: ws::WebSocket,
) -> (impl Sink<Bytes, Error = WireError> + Unpin, impl Stream<Item = Result<Bytes, WireError>> + Unpin) {
    let (sink, stream) = socket.split();
    let sink = sink.with(|bytes| ready(Ok(ws::Message::Binary(bytes)))).sink_map_err(web_socket::<axum::Error>);
    let stream = stream.filter_map(|message| {
        ready(match message {
            Ok(ws::Message::Binary(bytes)) => Some(Ok(bytes)),
            Ok(ws::Message::Text(_)) => Some(Err(NOT_BINARY)),
            Ok(ws::Message::Close(_)) => Some(Err(WireError::Closed)),
            Ok(ws::Message::Ping(_) | ws::Message::Pong(_)) => None,
            Err(error) => Some(Err(WireError::web_socket(error))),
        })
    });
    (sink, stream)
}

/// The client's side.
pub fn dialled<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
) -> (impl Sink<Bytes, Error = WireError> + Unpin, impl Stream<Item = Result<Bytes, WireError>> + Unpin) {
    let (sink, stream) = socket.split();
    let sink = sink
        .with(|bytes| ready(Ok(tungstenite::Message::Binary(bytes))))
        .sink_map_err(web_socket::<tungstenite::Error>);
    let stream = stream.filter_map(|message| {
        ready(match message {
            Ok(tungstenite::Message::Binary(bytes)) => Some(Ok(bytes)),
            Ok(tungstenite::Message::Text(_)) => Some(Err(NOT_BINARY)),
            Ok(tungstenite::Message::Close(_)) => Some(Err(WireError::Closed)),
            Ok(_) => None,
            Err(error) => Some(Err(WireError::web_socket(error))),
        })
    });
    (sink, stream)
}

fn web_socket<E: std::error::Error + Send + Sync + 'static>(error: E) -> WireError {
    WireError::web_socket(error)
}

/// The next message, which must come in time.
pub async fn next<S>(stream: &mut S, within: Duration) -> Result<Bytes, WireError>
where
    S: Stream<Item = Result<Bytes, WireError>> + Unpin,
{
    match tokio::time::timeout(within, stream.next()).await {
        Err(_) => Err(WireError::Silent),
        Ok(None) => Err(WireError::Closed),
        Ok(Some(message)) => message,
    }
}
