//! Tests that take no time, say what was left behind, and try the orders that rarely happen. In
//! earnest each of these is a `#[test]` function.

use std::cell::Cell;
use std::panic;
use std::rc::Rc;

use wheelhouse::testing::{self, Test};
use wheelhouse::time::{Duration, Instant, sleep, timeout};
use wheelhouse::{spawn, yield_now};

/// What is tested: an account, and a task that takes money from it in two steps.
async fn withdraw(balance: Rc<Cell<u32>>, amount: u32) {
    let before = balance.get();
    if amount > 10 {
        // An await between looking and taking: here is the mistake.
        yield_now().await;
    }
    balance.set(before - amount);
}

fn main() {
    // A day passes at once.
    testing::run(async {
        let start = Instant::now();
        let never = std::future::pending::<()>();
        timeout(Duration::from_secs(24 * 60 * 60), never).await.unwrap_err();
        println!("{} hours have passed", start.elapsed().as_secs() / 3600);
    });

    // Ready tasks run in an order drawn from a seed, and the same seed has the same order. So what
    // works in one order only is found, and found again.
    let mut balances: Vec<u32> = (0..20).map(balance_after).collect();
    assert_eq!(balances, (0..20).map(balance_after).collect::<Vec<_>>());
    balances.sort_unstable();
    balances.dedup();
    println!("in 20 orders the balance is one of {balances:?}");

    // What a test leaves behind fails it, and where it was made is said.
    panic::set_hook(Box::new(|_| {}));
    let forgetful =
        || Test::new().in_order().run(async { drop(spawn(sleep(Duration::from_secs(60)))) });
    let complaint = panic::catch_unwind(forgetful).unwrap_err();
    println!("{}", complaint.downcast::<String>().unwrap().trim_end());
}

fn balance_after(seed: u64) -> u32 {
    Test::new().seed(seed).run(async {
        let balance = Rc::new(Cell::new(100));
        let tasks = [5, 20].map(|amount| spawn(withdraw(balance.clone(), amount)));
        for task in tasks {
            task.await.unwrap();
        }
        balance.get()
    })
}
