//! A process of this binary, and a client of its service.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

/// Names the service that the process shall be.
pub(crate) const SCENARIO: &str = "NEXIOS_AXUM_SCENARIO";

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Service {
    process: Child,
    output: BufReader<ChildStdout>,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    /// From the first signal on.
    pub(crate) took: Duration,
    pub(crate) output: String,
    pub(crate) log: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        // A test that fails leaves nothing behind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Service {
    pub(crate) fn start(scenario: &str) -> Self {
        Service::with(scenario, Command::new(std::env::current_exe().unwrap()))
    }

    /// With at most so many open files.
    pub(crate) fn with_files(scenario: &str, most: u32) -> Self {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("ulimit -n {most}; exec \"$0\"")])
            .arg(std::env::current_exe().unwrap());
        Service::with(scenario, shell)
    }

    /// With nobody to read its log, and no room for it.
    pub(crate) fn with_full_disk(scenario: &str) -> Self {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        Service::with_log(scenario, command.stderr(full))
    }

    fn with(scenario: &str, mut command: Command) -> Self {
        Service::with_log(scenario, command.stderr(Stdio::piped()))
    }

    fn with_log(scenario: &str, command: &mut Command) -> Self {
        let command = command.env(SCENARIO, scenario).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Service { process, output }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Reads the address that a service prints when it is ready.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let line = self.line();
        line.strip_prefix("http://")
            .unwrap_or_else(|| panic!("no address: {line:?}"))
            .parse()
            .unwrap()
    }

    pub(crate) fn signal(&self, signal: &str) {
        self.signals(signal, 1);
    }

    /// So often, with 2 ms in between: two that are waiting at once are one to the system.
    pub(crate) fn signals(&self, signal: &str, count: usize) {
        let kill = format!("kill -s {signal} {}", self.process.id());
        let script = vec![kill; count].join(" && sleep 0.002 && ");
        assert!(
            Command::new("sh")
                .args(["-c", &script])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The fields after the name in brackets: user and system time are the 12th and 13th, in 10 ms.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(10 * ticks)
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn stop(self, signal: &str) -> End {
        let begun = Instant::now();
        self.signal(signal);
        self.ended(begun)
    }

    pub(crate) fn ended(mut self, begun: Instant) -> End {
        let log = self.process.stderr.take();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            log.map(|mut log| log.read_to_string(&mut text).unwrap());
            text
        });
        let status = loop {
            match self.process.try_wait().unwrap() {
                Some(status) => break status,
                None if begun.elapsed() > PATIENCE => panic!("the process does not end"),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let took = begun.elapsed();
        let mut output = String::new();
        self.output.read_to_string(&mut output).unwrap();
        End {
            code: status.code(),
            took,
            output,
            log: log.join().unwrap(),
        }
    }
}

impl End {
    /// Checks the code, and that the whole took at most so long.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, milliseconds: u64) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(
            self.took <= Duration::from_millis(milliseconds),
            "{self:#?}"
        );
        self
    }

    #[track_caller]
    pub(crate) fn logged(self, text: &str) -> Self {
        assert!(self.log.contains(text), "{text:?} is missing: {self:#?}");
        self
    }
}

/// Sends the text and leaves the connection open.
pub(crate) fn send(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

/// Begins a GET.
pub(crate) fn begin(address: SocketAddr, path: &str) -> TcpStream {
    send(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"),
    )
}

/// Returns the status and the body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    answer(begin(address, path))
}

pub(crate) fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}
