#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    tracing_subscriber::fmt().init();
    let path = std::env::args().nth(1).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let config = ringlink::config::load(&text).unwrap_or_else(|p| panic!("{p}"));
    let started = ringlink::control::start(std::sync::Arc::new(config)).unwrap();
    let mailboxes = started.mailboxes;
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async move {
        ringlink::discovery::watch(started.resolves, |a| {
            let _ = mailboxes[a.shard].send(ringlink::control::shard::Mail::Resolved(a.resolved));
        }).await;
    });
}
