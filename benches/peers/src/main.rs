//! wheelhouse and its peers side by side. One command runs everything asked for; every measurement is a fresh child
//! process. See README.md in this folder.

mod child;
mod contenders;
mod held;
mod http;
mod job;
mod load;
mod measure;
mod pair;
mod picture;
mod place;
mod plan;
mod process;
mod report;
mod runtime;
mod scenario;

use contenders::Contender;
use job::Job;
use plan::Plan;
use report::Row;
use scenario::Scenario;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: measure::CountingAllocator = measure::CountingAllocator;

const USAGE: &str = "\
peers [SCENARIO...] [--rounds N] [--quick] [--only CONTENDER,...] [--json FILE] [--list]
peers picture timers|memory FILE.json    (a picture of the README from a run's JSON, to stdout)
peers echo-server CONTENDER [--transport tcp|unix|udp] [--port N] [--buffer BYTES] [--idle] [--cpu N]
peers http-server tokio|wheelhouse [--http 1|2] [--port N] [--cpu N]

A scenario is named by any prefix (`echo` is all of the echo scenarios); without one, all run.
--rounds N   how often each is measured (3, or 1 with --quick); the tables show medians
--quick      short runs: to see that everything works, not to quote
--only A,B   only these contenders
--json FILE  writes every round there as well
--list       names the scenarios and contenders";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("__child") => run_child(&arguments[1..]),
        Some("http-server") => run_child(&arguments),
        Some("echo-server") => run_child(&[&["server".to_owned()], &arguments[1..]].concat()),
        Some("picture") => picture_of(&arguments[1..]),
        _ => orchestrate(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

// -------------------------------------------------------------------------------------------------- children

fn run_child(words: &[String]) -> Result<(), String> {
    let [part, name, options @ ..] = words else { return Err(USAGE.into()) };
    let contender = Contender::find(name).ok_or_else(|| unknown_contender(name))?;
    let mut job = Job {
        part: part.clone(),
        quick: false,
        cpu: None,
        other_cpu: None,
        transport: Default::default(),
        http: Default::default(),
        port: 0,
        buffer: 4096,
        idle: false,
        sleeper: false,
        exit_at: 0,
        count: 0,
    };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match option.as_str() {
            "--quick" => job.quick = true,
            "--idle" => job.idle = true,
            "--sleeper" => job.sleeper = true,
            "--cpu" => job.cpu = Some(value(option, options.next())?),
            "--other-cpu" => job.other_cpu = Some(value(option, options.next())?),
            "--transport" => job.transport = value(option, options.next())?,
            "--http" => job.http = value(option, options.next())?,
            "--port" => job.port = value(option, options.next())?,
            "--buffer" => job.buffer = value(option, options.next())?,
            "--exit-at" => job.exit_at = value(option, options.next())?,
            "--count" => job.count = value(option, options.next())?,
            other => return Err(format!("unknown option {other}\n{USAGE}")),
        }
    }
    measure::die_with_parent();
    measure::raise_nofile();
    if let Some(cpu) = job.cpu {
        measure::pin_to(cpu);
    }
    if job.part == "http-server" {
        return http::serve(name, &job);
    }
    (contender.child)(&job)?.print();
    // No destructors: a million pending sleeps and runtimes' threads are not part of any figure.
    std::process::exit(0);
}

fn picture_of(words: &[String]) -> Result<(), String> {
    let [name, file] = words else { return Err(USAGE.into()) };
    let picture = picture::ALL.iter().find(|picture| picture.name == name).ok_or(USAGE)?;
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let run = serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))?;
    print!("{}", picture.draw(&run)?);
    Ok(())
}

fn value<T: std::str::FromStr>(option: &str, word: Option<&String>) -> Result<T, String> {
    word.and_then(|word| word.parse().ok()).ok_or_else(|| format!("{option} wants a value\n{USAGE}"))
}

fn unknown_contender(name: &str) -> String {
    let names: Vec<_> = contenders::ALL.iter().map(|contender| contender.name).collect();
    let hint = if name.starts_with("wheelhouse") { " (built without the feature `wheelhouse`)" } else { "" };
    format!("no contender {name}{hint}; there are: {}", names.join(", "))
}

// ---------------------------------------------------------------------------------------------- the whole run

fn orchestrate(arguments: &[String]) -> Result<(), String> {
    let mut asked: Vec<&str> = Vec::new();
    let (mut rounds, mut quick, mut only, mut json_file) = (None, false, None, None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => rounds = Some(value::<usize>(word, words.next())?.max(1)),
            "--quick" => quick = true,
            "--only" => only = Some(value::<String>(word, words.next())?),
            "--json" => json_file = Some(value::<String>(word, words.next())?),
            "--list" => {
                list();
                return Ok(());
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(());
            }
            option if option.starts_with('-') => return Err(format!("unknown option {option}\n{USAGE}")),
            name => asked.push(name),
        }
    }
    let scenarios = choose_scenarios(&asked)?;
    let contenders = choose_contenders(only.as_deref())?;
    let rounds = rounds.unwrap_or(if quick { 1 } else { 3 });

    let files = measure::raise_nofile();
    let cpus = measure::allowed_cpus();
    let plan = Plan {
        quick,
        processors: cpus.len(),
        cpu: (cpus.len() >= 2).then(|| cpus[0]),
        other_cpu: (cpus.len() >= 2).then(|| cpus[1]),
    };
    if let Some(other) = plan.other_cpu {
        measure::pin_to(other);
    }
    match (plan.cpu, plan.other_cpu) {
        (Some(cpu), Some(other)) => println!("measured processes on processor {cpu}, the rest on {other}"),
        _ => println!("only one processor: nothing is pinned, and the load generator disturbs the servers"),
    }
    println!(
        "{}; up to {files} descriptors; {rounds} round(s), {}",
        machine(&plan),
        if quick { "quick" } else { "full" }
    );
    println!("load average at the start: {}", load_average());

    let mut all = Vec::new();
    for scenario in scenarios {
        let rows = run_scenario(scenario, &contenders, scenario.rounds(rounds), &plan);
        report::print(scenario, &rows);
        all.push((scenario, rows));
    }
    report::print_contenders(&all);
    println!("\nload average at the end: {}", load_average());
    if let Some(file) = json_file {
        let scenarios: serde_json::Map<_, _> =
            all.iter().map(|(scenario, rows)| (scenario.name.to_owned(), report::to_json(scenario, rows))).collect();
        let all = serde_json::json!({
            "machine": machine(&plan),
            "quick": quick,
            "rounds": rounds,
            "scenarios": scenarios,
        });
        let text = serde_json::to_string_pretty(&all).expect("plain values");
        std::fs::write(&file, text + "\n").map_err(|e| format!("{file}: {e}"))?;
        println!("written: {file}");
    }
    Ok(())
}

/// Every contender once a round; the order turns round each time, so that drift of the machine hits all alike. One
/// that fails is asked again in no later round.
fn run_scenario(scenario: &Scenario, contenders: &[&'static Contender], rounds: usize, plan: &Plan) -> Vec<Row> {
    let mut rows: Vec<Row> = contenders
        .iter()
        .filter(|contender| contender.takes_part(scenario.name))
        .map(|contender| Row { contender, rounds: Vec::new(), error: None })
        .collect();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..rows.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let row = &mut rows[at];
            if row.error.is_some() {
                continue;
            }
            eprint!("\r\x1b[K{} {}/{rounds} {}", scenario.name, round + 1, row.contender.name);
            match scenario.measure(row.contender, plan) {
                Ok(answer) => row.rounds.push(answer),
                Err(error) => row.error = Some(error),
            }
        }
    }
    eprint!("\r\x1b[K");
    rows
}

fn choose_scenarios(asked: &[&str]) -> Result<Vec<&'static Scenario>, String> {
    if let Some(unknown) = asked.iter().find(|word| !scenario::ALL.iter().any(|s| s.name.starts_with(**word))) {
        return Err(format!("no scenario {unknown}\n{USAGE}"));
    }
    // A whole name means that one alone (`sleep`), a prefix all that begin so (`echo`).
    let wanted = |scenario: &Scenario| {
        asked.is_empty()
            || asked.iter().any(|word| match scenario::ALL.iter().any(|s| s.name == *word) {
                true => scenario.name == *word,
                false => scenario.name.starts_with(word),
            })
    };
    Ok(scenario::ALL.iter().filter(|scenario| wanted(scenario)).collect())
}

fn choose_contenders(only: Option<&str>) -> Result<Vec<&'static Contender>, String> {
    match only {
        None => Ok(contenders::ALL.iter().collect()),
        Some(names) => {
            let find = |name: &str| Contender::find(name).ok_or_else(|| unknown_contender(name));
            let mut chosen = names.split(',').map(find).collect::<Result<Vec<_>, _>>()?;
            chosen.sort_by_key(|one| contenders::ALL.iter().position(|other| other.name == one.name));
            Ok(chosen)
        }
    }
}

fn list() {
    println!("scenarios:");
    for scenario in scenario::ALL {
        println!("  {:<18} {}", scenario.name, scenario.title);
    }
    println!("contenders:");
    for contender in contenders::ALL {
        println!("  {:<18} {}", contender.name, contender.note);
    }
}

fn machine(plan: &Plan) -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} processor(s), Linux {}", plan.processors, kernel.trim())
}

fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}
