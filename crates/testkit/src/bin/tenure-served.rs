//! A server in its own process, for tests that kill it: `tenure-served URL PORT`. It prints `ready` when it listens,
//! and runs recovery as `tenure serve` does.

use tenure::Ledger;
use tenure::recovery::Recovery;
use tenure::stop::StopSignal;
use tenure_server::{Options, Server};
use tokio::net::TcpListener;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [url, port] = words.as_slice() else { panic!("tenure-served URL PORT") };
    let port: u16 = port.parse().expect("a port");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let ledger = Ledger::open(url).await.expect("the store opens");
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
        let server = Server::new(ledger, Recovery::new, Options::default()).expect("threads");
        let (recovery, stop) = (server.recovery(), StopSignal::new());
        let until = stop.clone();
        tokio::spawn(async move { recovery.watch(until).await });
        println!("ready");
        server.run(listener, None, stop).await.expect("it serves");
    });
}
