//! Tour 4: awaiting a future is a call, and does not hand the loop to others. Awaiting a task does.

use wheelhouse::{run, spawn};

async fn a() {
    println!("a: hi");
}

async fn b() {
    println!("b: I hope that nobody hogs the loop");
}

fn main() {
    println!("-- three futures");
    run(async {
        let b = spawn(b());
        for _ in 0..3 {
            a().await;
        }
        b.await.unwrap();
    });

    println!("-- three tasks");
    run(async {
        let b = spawn(b());
        for _ in 0..3 {
            spawn(a()).await.unwrap();
        }
        b.await.unwrap();
    });
}
