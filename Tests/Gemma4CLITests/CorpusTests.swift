import Foundation
import TestSupport
import Testing

@testable import Gemma4CLI

private let checkpoint = Goldens.checkpoint("E2B")

/// The counts that a run prints.
private struct Counts: Decodable {
    let shard: String
    let inputs, done, skipped, failed, stopped: Int

    var addUp: Bool { inputs == done + skipped + failed + stopped }
}

/// Manifests and shards.
@Suite struct CorpusTests {
    // MARK: Shards

    /// Each input is in exactly one shard; more inputs or another order move none.
    @Test(arguments: [1, 2, 7, 64])
    func everyInputIsInOneShard(count: Int) {
        let shards = (1...count).map { Shard(index: $0, count: count) }
        let keys = (0..<2_000).map { "speaker \($0 % 40)/\($0).wav" } + ["", "é", "e\u{301}"]
        for key in keys { #expect(shards.count { $0.contains(key) } == 1, "\(key)") }
        // Binomial: mean 2000/count, four standard deviations.
        let (mean, sizes) = (2_000 / Double(count), shards.map { shard in keys.count { shard.contains($0) } })
        #expect(sizes.allSatisfy { abs(Double($0) - mean) <= 4 * mean.squareRoot() + 3 }, "\(sizes)")
    }

    /// Shards are stable across versions: SHA-256 modulo 8.
    @Test(arguments: [("a.wav", 3), ("deep/b.flac", 1), ("17", 2)])
    func aShardStaysWhatItIs(key: String, index: Int) {
        #expect((1...8).filter { Shard(index: $0, count: 8).contains(key) } == [index])
    }

    @Test(arguments: ["0/4", "5/4", "1/0", "-1/4", "1", "1/2/3", "a/b", "/", "1.0/2", ""])
    func shardsThatAreNone(text: String) { #expect(Shard(text) == nil) }

    // MARK: Lists

    private func inputs(_ text: String, in directory: TemporaryDirectory) throws -> [InputFile] {
        try Manifest.inputs(directory.write(Array(text.utf8), to: "list"))
    }

    @Test func linesArePathsOrObjects() throws {
        let directory = try TemporaryDirectory()
        let all = try inputs(
            "a.wav\r\n\n./b/c d.wav\n../up.wav\n/abs/e.wav\n"
                + #"{"path": "f.wav", "id": "speaker/7", "duration": 3}"# + "\n" + #"{"path": "{g}.wav"}"# + "\n"
                + #"{"path": "h.wav", "id": 17}"#, in: directory)
        let folder = directory.path
        #expect(
            all.map(\.path) == [
                "\(folder)/a.wav", "\(folder)/./b/c d.wav", "\(folder)/../up.wav", "/abs/e.wav", "\(folder)/f.wav",
                "\(folder)/{g}.wav", "\(folder)/h.wav",
            ])
        #expect(all.map(\.outputName) == ["a", "b/c d", "up", "abs/e", "speaker/7", "{g}", "17"])
        #expect(all.map(\.key) == ["a.wav", "./b/c d.wav", "../up.wav", "/abs/e.wav", "speaker/7", "{g}.wav", "17"])
    }

    /// Two inputs with one stem keep their extensions; an id is used as given.
    @Test func namesAreDistinct() throws {
        let directory = try TemporaryDirectory()
        let all = try inputs("a/x.wav\na/x.mp3\nb/x.wav\n" + #"{"path": "c.wav", "id": "v1.2"}"#, in: directory)
        #expect(all.map(\.outputName) == ["a/x.wav", "a/x.mp3", "b/x", "v1.2"])
    }

    @Test(arguments: [
        ("", "list, line 1: expected the path of an input, found none"),
        ("a.wav\n{\"path\": 1}", "list, line 2: expected “path” with the path of a file, found 1"),
        ("{\"id\": \"a\"}", "list, line 1: expected “path” with the path of a file, found none"),
        ("{\"path\": \"a\", \"id\": []}", "list, line 1: expected “id” as a text, found an array of 0"),
        ("{\"path\": \"a\"", "list, line 1: expected an object in JSON, or a path, found "),
        ("{\"path\": \"a\", \"id\": \"x/../../y\"}", "expected the name of a file below the folder of results, found"),
        ("{\"path\": \"a\", \"id\": \"/\"}", "expected the name of a file below the folder of results, found “/”"),
        ("a.wav\n\na.wav", "list, line 3: expected another id than that of line 1, found “a” again"),
        ("a.wav\n{\"path\": \"b.wav\", \"id\": \"a\"}", "line 2: expected another id than that of line 1, found “a”"),
    ])
    func mistakesInListsAreNamed(text: String, message: String) async throws {
        let directory = try TemporaryDirectory()
        try directory.write(Array(text.utf8), to: "list")
        var program = Program("transcribe", "--manifest", "list", "-o", "out")
        program.directory = directory.path
        let outcome = try await program.run()
        #expect(outcome.status == 65 && outcome.messages.contains(message), "\(outcome.messages)")
        #expect(!FileManager.default.fileExists(atPath: "\(directory.path)/out"))
    }

    @Test(arguments: [
        (["transcribe", "--manifest", "list"], "--manifest and --shard need -o with a folder"),
        (["transcribe", "--manifest", "list", "-o", "-"], "--manifest and --shard need -o with a folder"),
        (["transcribe", "--manifest", "list", "-o", "out", "a.wav"], "give either files or --manifest"),
        (["transcribe", "--manifest", "list", "-o", "out", "--stdin-format", "s16le"], "leave out --manifest"),
        (["transcribe", "--shard", "3/2", "-o", "out", "a.wav"], "expected I/N with I from 1 to N, such as 2/8"),
        (["translate", "--to", "de", "--manifest", "list", "--text", "a"], "give either files or --text"),
        (["caption", "--manifest", "list"], "--manifest and --shard need --sidecar, or -o with a folder"),
        (["caption", "--manifest", "list", "-o", "out", "a.png"], "give either files or --manifest"),
        (["caption", "-o", "out"], "Missing expected argument '<file> ...'"),
    ])
    func argumentsThatDoNotFit(arguments: [String], message: String) async throws {
        let directory = try TemporaryDirectory()
        try directory.write(Array("a.wav\n".utf8), to: "list")
        var program = Program()
        program.arguments = arguments
        program.directory = directory.path
        let outcome = try await program.run()
        #expect(outcome.status == 64 && outcome.messages.contains(message), "\(outcome.messages)")
    }

    // MARK: Runs

    /// A corpus of `count` recordings or images, plus a missing and an invalid one.
    private func corpus(_ medium: String, count: Int) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        let bytes = try Data(contentsOf: Goldens.folder.appending(path: "attachments/\(medium)"))
        let ending = URL(filePath: medium).pathExtension
        try FileManager.default.createDirectory(atPath: "\(directory.path)/in", withIntermediateDirectories: true)
        for index in 0..<count { try directory.write(bytes, to: "in/\(index).\(ending)") }
        try directory.write(Array("no medium".utf8), to: "in/broken.\(ending)")
        let names = (0..<count).map { "in/\($0).\(ending)" } + ["in/broken.\(ending)"]
        let lines = names + [#"{"path": "in/missing.\#(ending)", "id": "gone"}"#]
        try directory.write(Array(lines.joined(separator: "\n").utf8), to: "list")
        return directory
    }

    private func run(_ arguments: String..., in directory: TemporaryDirectory) async throws -> (Program.Outcome, Counts)
    {
        var program = Program()
        program.arguments = arguments + ["--model", checkpoint, "--max-tokens", "2"]
        program.directory = directory.path
        let outcome = try await program.run()
        return (outcome, try outcome.decoded(as: Counts.self))
    }

    private func results(_ directory: TemporaryDirectory) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: "\(directory.path)/out").sorted()
    }

    @Test(arguments: [("transcribe", "tone.wav", "--no-vad"), ("caption", "wide.png", "--explain")])
    func shardsDoACorpusOnce(command: String, medium: String, flag: String) async throws {
        let directory = try corpus(medium, count: 8)
        var sum = 0
        var failed = 0
        for index in 1...3 {
            let (outcome, counts) = try await run(
                command, flag, "--manifest", "list", "--shard", "\(index)/3", "-o", "out", "--resume", in: directory)
            #expect(counts.shard == "\(index)/3" && counts.addUp && counts.skipped == 0 && counts.stopped == 0)
            #expect((outcome.status == 0) == (counts.failed == 0), "\(outcome.messages)")
            #expect(try results(directory).count == sum + counts.done + folders(directory))
            sum += counts.done
            failed += counts.failed
        }
        #expect(sum == 8 && failed == 2)
        let expected = ["in"] + (0..<8).map { "in/\($0).txt" }
        #expect(try results(directory) == expected)

        // Existing results are skipped, failed inputs are retried.
        let kept = "\(directory.path)/out/in/3.txt"
        try Data("kept".utf8).write(to: URL(filePath: kept))
        let (outcome, counts) = try await run(
            command, flag, "--manifest", "list", "-o", "out", "--resume", in: directory)
        #expect(counts.shard == "1/1" && counts.addUp)
        #expect(counts.inputs == 10 && counts.skipped == 8 && counts.done == 0 && counts.failed == 2)
        #expect([65, 66].contains(outcome.status))
        #expect(outcome.messages.contains("in/missing.") && outcome.messages.contains("in/broken."))
        #expect(try String(contentsOfFile: kept, encoding: .utf8) == "kept")
        #expect(try results(directory) == expected)
    }

    private func folders(_ directory: TemporaryDirectory) throws -> Int {
        try results(directory).count { FileIdentity("\(directory.path)/out/\($0)")?.isFolder == true }
    }

    /// An empty shard succeeds without loading a model.
    @Test(arguments: ["transcribe", "caption"])
    func anEmptyShardIsDone(command: String) async throws {
        let directory = try TemporaryDirectory()
        try directory.write(Array("a.wav\n".utf8), to: "list")
        let empty = try #require((1...2).first { !Shard(index: $0, count: 2).contains("a.wav") })
        var program = Program(command, "--manifest", "list", "--shard", "\(empty)/2", "-o", "out", "--model", "none")
        program.directory = directory.path
        let outcome = try await program.run()
        let counts: Counts = try outcome.decoded()
        #expect(outcome.status == 0 && counts.inputs == 0 && counts.addUp, "\(outcome.messages)")
    }

    /// Shards also apply to arguments, with unchanged names of results.
    @Test func foldersHaveShards() async throws {
        let directory = try corpus("wide.png", count: 6)
        var names: [String] = []
        for index in 1...2 {
            let (_, counts) = try await run("caption", "in", "--shard", "\(index)/2", "-o", "out", in: directory)
            #expect(counts.addUp)
            names = try results(directory)
        }
        #expect(names == (0..<6).map { "\($0).txt" })
    }

    /// A description as an object has its file alone, too.
    @Test func objectsHaveTheirOwnFiles() async throws {
        struct Object: Decodable { let file, text: String }
        let directory = try corpus("wide.png", count: 2)
        _ = try await run("caption", "--manifest", "list", "-o", "out", "--format", "json", in: directory)
        #expect(try results(directory) == ["in", "in/0.json", "in/1.json"])
        let data = try Data(contentsOf: URL(filePath: "\(directory.path)/out/in/1.json"))
        #expect(try JSONDecoder().decode(Object.self, from: data).file == "in/1.png")
        let (outcome, counts) = try await run(
            "caption", "--manifest", "list", "-o", "out", "--format", "json", "--resume", in: directory)
        #expect(counts.skipped == 2 && outcome.messages.contains("2 of 4 pictures are described already"))
    }

    /// After a run is killed, unfinished inputs have no results, and the next run processes them.
    @Test(.timeLimit(.minutes(2))) func aRunThatIsStoppedIsGoneOnWith() async throws {
        let directory = try TemporaryDirectory()
        let speech = Sounds.wave(Sounds.speech(seconds: 2))
        for index in 0..<20 { try directory.write(speech, to: "\(index).wav") }
        // The last pipe has no writer, so the run cannot finish.
        let last = "\(directory.path)/20.wav"
        #expect(mkfifo(last, 0o600) == 0)
        try directory.write(Array((0..<21).map { "\($0).wav\n" }.joined().utf8), to: "list")
        var program = Program(
            "transcribe", "--manifest", "list", "-o", "out", "--resume", "--model", checkpoint, "--max-tokens", "8")
        program.directory = directory.path
        let process = program.process()
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        let ended = AsyncStream<Void> { continuation in process.terminationHandler = { _ in continuation.finish() } }
        try process.run()
        func written() -> [String] {
            let names = try? FileManager.default.contentsOfDirectory(atPath: "\(directory.path)/out")
            return names?.filter { $0.hasSuffix(".txt") } ?? []
        }
        while process.isRunning, written().count < 3 { try await Task.sleep(for: .milliseconds(5)) }
        process.terminate()
        for await _ in ended {}
        #expect(process.terminationStatus == 75)
        let first = try JSONDecoder().decode(Counts.self, from: output.fileHandleForReading.readDataToEndOfFile())
        #expect(first.addUp && first.stopped > 0 && first.done == written().count && first.inputs == 21)
        try FileManager.default.removeItem(atPath: last)
        try directory.write(speech, to: "20.wav")
        let (outcome, second) = try await run(
            "transcribe", "--manifest", "list", "-o", "out", "--resume", in: directory)
        #expect(outcome.status == 0 && second.skipped == first.done && second.done == 21 - first.done)
        #expect(try results(directory).count == 21)
    }

    /// Process ids repeat across containers: a stale draft must not block a run.
    @Test func aDraftThatWasLeftIsInNobodysWay() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/a.txt"
        try directory.write([], to: "a.txt.\(getpid()).partial")
        try OutputFile(path).replace(with: Array("done\n".utf8))
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "done\n")
    }
}
