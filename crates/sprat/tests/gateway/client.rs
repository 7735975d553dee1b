//! A client made of a socket, so that it can do what no library would.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::world::PATIENCE;

/// A request on its way, and its reply as far as it was read.
pub struct Conversation {
    reading: BufReader<TcpStream>,
    chunked: bool,
    left: usize,
}

/// The head of a reply.
pub struct Head {
    pub status: u16,
    headers: Vec<(String, String)>,
}

/// A reply.
pub struct Reply {
    pub head: Head,
    pub body: String,
    /// Whether the body ended as HTTP says that it ends.
    pub whole: bool,
}

/// The body of a chat call to the model `large`.
pub fn call(text: &str, stream: bool) -> Value {
    json!({"model": "large", "stream": stream, "messages": [{"role": "user", "content": text}]})
}

/// Sends a request.
pub fn post(address: SocketAddr, path: &str, body: &Value) -> Conversation {
    let mut conversation = Conversation::open(address);
    // A server that refuses at once may close before it has read everything: its reply is there all the same.
    let _ = conversation.post(path, body);
    conversation
}

/// The body of a page.
pub fn get(address: SocketAddr, path: &str) -> Reply {
    let mut conversation = Conversation::open(address);
    conversation.write(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
    conversation.reply().unwrap()
}

impl Conversation {
    /// A connection on which nothing has been said.
    pub fn open(address: SocketAddr) -> Self {
        Self::connect(address).unwrap()
    }

    /// The same, with a server that may be gone.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { reading: BufReader::new(stream), chunked: false, left: 0 })
    }

    /// Sends a request.
    pub fn post(&mut self, path: &str, body: &Value) -> io::Result<()> {
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.write(format!("{head}{body}").as_bytes())
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reading.get_mut().write_all(bytes)
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        self.reading.get_ref()
    }

    pub fn head(&mut self) -> io::Result<Head> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let head = Head { status, headers };
        self.chunked = head.header("transfer-encoding").is_some();
        self.left = head.header("content-length").map_or(0, |length| length.parse().unwrap());
        Ok(head)
    }

    /// The next piece of the body; `None` at its end.
    pub fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.chunked {
            let line = self.line()?;
            let length = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
            let mut piece = vec![0; length + 2];
            self.reading.read_exact(&mut piece)?;
            piece.truncate(length);
            return Ok((length > 0).then_some(piece));
        }
        let mut piece = vec![0; std::mem::take(&mut self.left)];
        self.reading.read_exact(&mut piece)?;
        Ok((!piece.is_empty()).then_some(piece))
    }

    /// The rest of the body, and whether it ended as it should.
    pub fn rest(&mut self) -> (String, bool) {
        let mut body = Vec::new();
        let whole = loop {
            match self.piece() {
                Ok(Some(piece)) => body.extend(piece),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        (String::from_utf8_lossy(&body).into_owned(), whole)
    }

    pub fn reply(&mut self) -> io::Result<Reply> {
        let head = self.head()?;
        let (body, whole) = self.rest();
        Ok(Reply { head, body, whole })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.reading.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

impl Head {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The code of the error that it is.
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The `data:` of its events.
    pub fn events(&self) -> Vec<&str> {
        self.body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect()
    }

    /// Whether it is a stream that came to its end.
    pub fn is_done(&self) -> bool {
        self.events().last() == Some(&"[DONE]")
    }
}
