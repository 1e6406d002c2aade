import Foundation
import TestSupport
import Testing

private let e2b = Goldens.checkpoint("E2B")

/// The result of a `/bin/sh` command line in which `gemma4` is the program, in the folder of the goldens.
private func shell(_ line: String, in directory: String? = nil) async throws -> Program.Outcome {
    var program = Program("-c", "gemma4() { '\(Program.executable.path)' \"$@\"; }; \(line)")
    program.executable = URL(filePath: "/bin/sh")
    program.directory = directory
    return try await program.run()
}

/// Failures of the environment. None may lose earlier results, leave a partial file under its final name, or end
/// without a message and its exit status.
@Suite struct FaultTests {
    // MARK: Standard streams

    /// A closed standard stream must not be replaced by a file, which would receive the stream's output.
    @Test(arguments: [
        ("generate a --max-tokens 3 >&-", 74, "", "gemma4: standard output: cannot be written: Bad file descriptor\n"),
        ("tokenize a >&-", 74, "", "gemma4: standard output: cannot be written: Bad file descriptor\n"),
        ("tokenize a 2>&-", 0, "{", ""),
        ("tokenize a <&-", 0, "{", ""),
        ("tokenize - <&-", 66, "", "gemma4: standard input: cannot be read"),
        ("tokenize a <&- >&- 2>&-", 74, "", ""),
    ])
    func aStandardStreamIsClosed(arguments: String, status: Int32, text: String, message: String) async throws {
        let outcome = try await shell("export GEMMA4_MODEL=\(e2b); gemma4 \(arguments)")
        #expect(outcome.status == status && !outcome.wasKilled, "\(outcome.messages)")
        #expect(text.isEmpty ? outcome.text.isEmpty : !outcome.text.isEmpty)
        #expect(message.isEmpty ? outcome.messages.isEmpty : outcome.messages.hasPrefix(message), "\(outcome.messages)")
    }

    @Test func aResultIsWholeThoughStandardOutputIsClosed() async throws {
        let directory = try TemporaryDirectory()
        let (open, closed) = ("\(directory.path)/open.jsonl", "\(directory.path)/closed.jsonl")
        let command = "gemma4 caption attachments/wide.png --model \(e2b) --max-tokens 2 --format json -o"
        let outcome = try await shell("\(command) \(open) && \(command) \(closed) >&- 2>&-")
        #expect(outcome.status == 0, "\(outcome.messages)")
        let keys = try [open, closed].map { path in
            let object = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: path)))
            return (object as? [String: Any])?.keys.sorted()
        }
        #expect(keys[0] != nil && keys[0] == keys[1])
    }

    // MARK: Environment

    @Test(arguments: [
        "env -i", "env -u HOME -u PATH", "env HOME=/nowhere TMPDIR=/nowhere", "env LC_ALL=tr_TR.UTF-8 LANG=de_DE.UTF-8",
        "env LC_ALL=C", "env LC_ALL=nonsense LANGUAGE=nonsense TERM= COLUMNS=-1",
    ])
    func theEnvironmentChangesNoResult(environment: String) async throws {
        let command = "score --model \(e2b) --text 'Hallo İstanbul 1,5' --format json"
        let here = try await shell("gemma4 \(command)")
        let there = try await shell("exec \(environment) '\(Program.executable.path)' \(command)")
        #expect(here.status == 0 && there.status == 0, "\(there.messages)")
        #expect(here.bytes == there.bytes && !here.bytes.isEmpty)
    }

    @Test func withoutAHomeNoRepositoryIsFound() async throws {
        let outcome = try await shell(
            "exec env -i '\(Program.executable.path)' generate --model google/gemma-4-E2B-it hello")
        #expect(outcome.status == 66)
        #expect(outcome.messages.contains("no such directory or file, nor a repository in "), "\(outcome.messages)")
    }

    /// Results do not depend on CPUs and threads, to the last digit.
    @Test(arguments: ["taskset -c 0", "taskset -c 0 nice -n 19", ""], [1, 64])
    func cpusAndThreadsChangeNoResult(prefix: String, threads: Int) async throws {
        let command = "score --model \(e2b) --text 'one two three four' --format json"
        let plain = try await shell("gemma4 \(command)")
        let other = try await shell("\(prefix) '\(Program.executable.path)' \(command) --threads \(threads)")
        #expect(plain.status == 0 && other.status == 0, "\(other.messages)")
        #expect(plain.bytes == other.bytes)
    }

    /// Folders of control groups of version 1 that can be made: of version 2 a parent decides what its children may have.
    private static let canLimit =
        access("/sys/fs/cgroup/memory/tasks", W_OK) == 0 && access("/sys/fs/cgroup/cpu/tasks", W_OK) == 0

    /// Runs a line of the shell in a control group of its own.
    private func limited(_ controller: String, _ limits: [String: Int], _ line: String) async throws -> Program.Outcome
    {
        let group = "/sys/fs/cgroup/\(controller)/gemma4-\(UUID())"
        try FileManager.default.createDirectory(atPath: group, withIntermediateDirectories: false)
        defer { rmdir(group) }
        for (name, value) in limits {
            try "\(value)\n".write(toFile: "\(group)/\(name)", atomically: false, encoding: .utf8)
        }
        return try await shell("echo $$ > \(group)/tasks; \(line)")
    }

    @Test(.enabled(if: canLimit)) func halfACPUChangesNoResult() async throws {
        let command = "gemma4 score --model \(e2b) --text 'one two three four' --format json"
        let half = ["cpu.cfs_quota_us": 50_000]
        let outcome = try await limited("cpu", half, "\(command); gemma4 doctor")
        let plain = try await shell(command)
        #expect(plain.status == 0 && outcome.text.hasPrefix(plain.text) && !plain.text.isEmpty, "\(outcome.messages)")
        #expect(outcome.text.contains(#/threads +1: /#), "\(outcome.text)")
    }

    /// What a control group leaves is what the machine has: work that needs more is refused, and not killed.
    @Test(.enabled(if: canLimit)) func aGroupsMemoryIsKnown() async throws {
        let limit = ["memory.limit_in_bytes": 1 << 30]
        let report = try await limited("memory", limit, "gemma4 doctor")
        #expect(report.text.contains(#/free of 1(\.0)? GiB that .*/memory/gemma4-/#), "\(report.text)")
        let bench = try await limited("memory", limit, "gemma4 bench --synthetic E2B")
        #expect(bench.status == 64 && bench.messages.contains(#/ GB are available\./#), "\(bench.messages)")
        let answer = try await limited("memory", limit, "gemma4 generate --model \(e2b) a --max-tokens 3")
        #expect(answer.status == 0, "\(answer.messages)")
    }

    // MARK: Writing

    /// As a user who is not root: root may write anywhere.
    @Test func aFolderIsReadOnly() async throws {
        let directory = try TemporaryDirectory()
        try FileManager.default.setAttributes([.posixPermissions: 0o555], ofItemAtPath: directory.path)
        let user = geteuid() == 0 ? "setpriv --reuid=65534 --regid=65534 --clear-groups" : ""
        let output = "\(directory.path)/soft.npy"
        let outcome = try await shell(
            "\(user) '\(Program.executable.path)' embed --soft-tokens --model \(e2b) --image attachments/wide.png -o \(output)"
        )
        #expect(outcome.status == 73)
        #expect(outcome.messages == "gemma4: \(output): cannot be created: Permission denied\n")
    }

    /// The limit is a quota's: writing fails halfway.
    @Test(arguments: [
        "quantize \(Goldens.checkpoint("E2B")) --type q8_0", "embed --soft-tokens --image attachments/wide.png",
    ])
    func aQuotaIsUsedUp(command: String) async throws {
        let directory = try TemporaryDirectory()
        let output = try directory.write(Array("old".utf8), to: "out.gguf")
        let model = command.hasPrefix("embed") ? "--model \(e2b)" : ""
        let outcome = try await shell(
            "ulimit -f 4; exec env --default-signal=XFSZ '\(Program.executable.path)' \(command) \(model) -o \(output)")
        #expect(outcome.status == 74 || outcome.status == 73, "\(outcome.status) \(outcome.messages)")
        #expect(outcome.messages.contains("File too large"), "\(outcome.messages)")
        #expect(try String(contentsOfFile: output, encoding: .utf8) == "old")
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["out.gguf"])
    }

    private static let canMount: Bool = {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/unshare")
        process.arguments = ["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()

    /// A disk of 64 KiB.
    @Test(
        .enabled(if: canMount),
        arguments: [
            "quantize \(Goldens.checkpoint("E2B")) --type q8_0", "embed --soft-tokens --image attachments/wide.png",
        ])
    func aDiskIsFull(command: String) async throws {
        let model = command.hasPrefix("embed") ? "--model \(e2b)" : ""
        let line =
            "mount -t tmpfs -o size=8k none /mnt && echo old > /mnt/out.gguf && '\(Program.executable.path)' \(command) \(model) -o /mnt/out.gguf; "
            + "echo status $?; ls /mnt; cat /mnt/out.gguf"
        var program = Program("-rm", "/bin/sh", "-c", line)
        program.executable = URL(filePath: "/usr/bin/unshare")
        let outcome = try await program.run()
        let text = outcome.text
        #expect(text.contains("status 74") || text.contains("status 73"), "\(text) \(outcome.messages)")
        #expect(outcome.messages.contains("No space left on device"), "\(outcome.messages)")
        #expect(text.hasSuffix("out.gguf\nold\n"))
    }

    /// `kill -9` during quantization: no file of that name appears, and a second run succeeds.
    @Test func aCrashLeavesNoHalfFile() async throws {
        let directory = try TemporaryDirectory()
        let output = "\(directory.path)/a.gguf"
        let process = Program("quantize", DemoTests.folder.path, "-o", output, "--type", "q4_k").process()
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        let ended = AsyncStream<Void> { continuation in process.terminationHandler = { _ in continuation.finish() } }
        try process.run()
        func files() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: directory.path) }
        while process.isRunning, try files().isEmpty { usleep(200) }
        kill(process.processIdentifier, SIGKILL)
        for await _ in ended {}
        #expect(process.terminationReason == .uncaughtSignal, "it ended before it was killed")
        #expect(!FileManager.default.fileExists(atPath: output))
        #expect(try await shell("gemma4 quantize \(DemoTests.folder.path) -o \(output) --type q4_k").status == 0)
        #expect(try await shell("gemma4 inspect \(output)").status == 0)
    }

    /// `kill -9` after the first of some transcripts: what is there is whole, and `--resume` adds the others.
    @Test func aCrashLosesNoTranscript() async throws {
        let directory = try TemporaryDirectory()
        let samples = "\(DemoTests.folder.path)/samples"
        let command = ["transcribe", "--model", DemoTests.folder.path, "\(samples)", "-o"]
        var program = Program()
        program.arguments = command + ["\(directory.path)/cut"]
        let process = program.process()
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        let ended = AsyncStream<Void> { continuation in process.terminationHandler = { _ in continuation.finish() } }
        try process.run()
        func texts(_ name: String) throws -> [String: String] {
            let folder = "\(directory.path)/\(name)"
            let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".txt") }
            return try Dictionary(
                uniqueKeysWithValues: names.map { ($0, try String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8)) }
            )
        }
        while process.isRunning, (try? texts("cut").isEmpty) ?? true { usleep(200) }
        kill(process.processIdentifier, SIGKILL)
        for await _ in ended {}
        #expect(process.terminationReason == .uncaughtSignal, "it ended before it was killed")
        let early = try texts("cut")
        program.arguments = command + ["\(directory.path)/whole"]
        #expect(try await program.run().status == 0)
        program.arguments = command + ["\(directory.path)/cut", "--resume"]
        #expect(try await program.run().status == 0)
        let whole = try texts("whole")
        #expect(whole.count > early.count && early.allSatisfy { whole[$0.key] == $0.value })
        #expect(try texts("cut") == whole)
    }

    // MARK: Reading

    /// A checkpoint truncated during decoding: an error that names it instead of SIGBUS.
    @Test func aModelIsCutWhileItAnswers() async throws {
        let directory = try TemporaryDirectory()
        let model = "\(directory.path)/model"
        try FileManager.default.copyItem(atPath: Goldens.checkpoint("E4B"), toPath: model)
        let weights = "\(model)/model.safetensors"
        let process = Program(
            "generate", "--model", model, "a", "--temperature", "0", "--max-tokens", "100000", "--no-loop-guard"
        ).process()
        let (output, messages) = (Pipe(), Pipe())
        (process.standardOutput, process.standardError) = (output, messages)
        let ended = AsyncStream<Void> { continuation in process.terminationHandler = { _ in continuation.finish() } }
        try process.run()
        #expect(!output.fileHandleForReading.availableData.isEmpty)
        #expect(truncate(weights, 4096) == 0)
        // The output pipe must be drained meanwhile.
        let reader = Task.detached { try? output.fileHandleForReading.readToEnd() }
        for await _ in ended {}
        _ = await reader.value
        #expect(process.terminationReason == .exit && process.terminationStatus == 74)
        let message = String(decoding: messages.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(message.hasPrefix("gemma4: ") && message.contains("/model/model.safetensors: cannot be read any more"))
        #expect(message.hasSuffix("get this one again.\n"), "\(message)")
    }

    // MARK: Signals

    /// At whatever moment a signal arrives, the program has ended normally or ends by the signal.
    @Test(arguments: [SIGINT, SIGTERM, SIGHUP], [0, 1, 2, 5, 10, 20, 50, 100, 200] as [UInt32])
    func aSignalComesAtAnyMoment(signal: Int32, milliseconds: UInt32) async throws {
        let directory = try TemporaryDirectory()
        let output = try directory.write(Array("old\n".utf8), to: "out.jsonl")
        let process = Program(
            "caption", "attachments/wide.png", "--model", e2b, "--max-tokens", "3", "--format", "json", "-o", output
        ).process()
        let messages = Pipe()
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, messages)
        let ended = AsyncStream<Void> { continuation in process.terminationHandler = { _ in continuation.finish() } }
        try process.run()
        usleep(1_000 * milliseconds)
        kill(process.processIdentifier, signal)
        for await _ in ended {}
        let code = process.terminationStatus
        let isBySignal = process.terminationReason == .uncaughtSignal && code == signal
        #expect(isBySignal || process.terminationReason == .exit && [0, 75, 130].contains(code), "\(code)")
        let left = try FileManager.default.contentsOfDirectory(atPath: directory.path)
        #expect(left == ["out.jsonl"], "\(left)")
        let text = try String(contentsOfFile: output, encoding: .utf8)
        #expect(text == "old\n" || text.hasPrefix("{") && text.hasSuffix("}\n"), "\(text)")
    }
}
