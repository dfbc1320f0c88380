//! Tour 2: an `async fn` and the future that it makes are two things. A future does nothing until
//! it is awaited.

use wheelhouse::run;

fn plain(number: u32) {
    println!("a plain function runs when it is called: {number}");
}

async fn lazy(number: u32) {
    println!("an async function runs when its future is awaited: {number}");
}

fn main() {
    plain(1);

    let future = lazy(3);
    println!("the future is made, it takes {} bytes, and nothing has run", size_of_val(&future));
    run(future);

    let forgotten = lazy(4);
    drop(forgotten);
    println!("a future that nobody awaits never runs");

    // Each call makes another one, which runs once.
    run(async {
        for number in 5..=6 {
            lazy(number).await;
        }
    });
}
