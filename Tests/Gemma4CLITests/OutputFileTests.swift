import Foundation
import TestSupport
import Testing

private let checkpoint = Goldens.checkpoint("E2B")

private func attachment(_ name: String) throws -> Data {
    try Data(contentsOf: Goldens.folder.appending(path: "attachments/\(name)"))
}

private func contents(_ path: String) throws -> Data { try Data(contentsOf: URL(filePath: path)) }

/// Results never overwrite inputs or media; a failure leaves the old file.
@Suite struct OutputFileTests {
    /// A folder with a picture, a recording, and links of both kinds to them.
    private func media() throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        try directory.write(attachment("wide.png"), to: "p.png")
        try directory.write(attachment("poster.png"), to: "q.png")
        try directory.write(attachment("tone.wav"), to: "a.wav")
        try directory.write(attachment("chirp.wav"), to: "b.wav")
        try FileManager.default.createSymbolicLink(
            atPath: "\(directory.path)/link.txt", withDestinationPath: "a.wav")
        try FileManager.default.linkItem(
            atPath: "\(directory.path)/p.png", toPath: "\(directory.path)/hard.jsonl")
        try FileManager.default.createSymbolicLink(atPath: "\(directory.path)/here", withDestinationPath: ".")
        return directory
    }

    @Test(arguments: [
        (["transcribe", "a.wav", "-o", "a.wav"], "a.wav: would be written over, but it is read"),
        (["transcribe", "a.wav", "-o", "link.txt"], "link.txt: would be written over, but it is the input a.wav"),
        (["transcribe", "a.wav", "-o", "here/./a.wav"], "here/./a.wav: would be written over, but it is the input"),
        (["transcribe", "-o", "a.wav", "b.wav"], "a.wav: would be written over, but it holds WAV"),
        (["transcribe", "b.wav", "-o", "p.png"], "p.png: would be written over, but it holds PNG"),
        (["translate", "--to", "de", "a.wav", "-o", "a.wav"], "but it is read"),
        (["translate", "--to", "de", "b.wav", "--format", "srt", "-o", "link.txt"], "but it holds WAV"),
        (["caption", "p.png", "-o", "p.png"], "p.png: would be written over, but it is read"),
        (["caption", "p.png", "-o", "hard.jsonl"], "hard.jsonl: would be written over, but it is the input p.png"),
        (["caption", "-o", "p.png", "q.png"], "p.png: would be written over, but it holds PNG"),
        (["caption", "q.png", "--format", "json", "-o", "p.png", "--resume"], "but it holds PNG"),
        (["embed", "--soft-tokens", "--image", "p.png", "-o", "p.png"], "but it is read"),
        (["embed", "--soft-tokens", "--audio", "a.wav", "-o", "link.txt"], "but it is the input a.wav"),
        (["embed", "--soft-tokens", "--audio", "a.wav", "-o", "q.png"], "but it holds PNG"),
    ])
    func aMediumIsNotWrittenOver(arguments: [String], message: String) async throws {
        let directory = try media()
        let names = ["p.png", "q.png", "a.wav", "b.wav", "link.txt", "hard.jsonl"]
        let before = try names.map { try contents("\(directory.path)/\($0)") }
        var program = Program()
        program.arguments = arguments + ["--model", checkpoint]
        program.directory = directory.path
        let outcome = try await program.run()
        #expect(outcome.status == 64 && outcome.messages.contains(message), "\(outcome.messages)")
        #expect(try names.map { try contents("\(directory.path)/\($0)") } == before)
        let left = try FileManager.default.contentsOfDirectory(atPath: directory.path)
        #expect(left.sorted() == (names + ["here"]).sorted())
    }

    /// An image named like a text file would be overwritten by its description.
    @Test func aSidecarIsNoInput() async throws {
        let directory = try TemporaryDirectory()
        let picture = try attachment("wide.png")
        let path = try directory.write(picture, to: "a.txt")
        let outcome = try await Program("caption", path, "--sidecar", "--model", checkpoint).run()
        #expect(outcome.status == 64 && outcome.messages.contains("\(path): would be written over, but it is read"))
        #expect(try contents(path) == picture)
    }

    @Test func quantizeKeepsItsSource() async throws {
        let directory = try TemporaryDirectory()
        let model = "\(directory.path)/model"
        try FileManager.default.copyItem(atPath: DemoTests.folder.path, toPath: model)
        let weights = "\(model)/model.safetensors"
        let link = "\(directory.path)/small.gguf"
        try FileManager.default.linkItem(atPath: weights, toPath: link)
        let before = try contents(weights)
        let outcome = try await Program("quantize", model, "-o", link).run()
        #expect(outcome.status == 64, "\(outcome.messages)")
        #expect(outcome.messages.contains("\(link): would be written over, but it is the input \(weights)"))
        #expect(try contents(weights) == before)
    }

    /// Ctrl-C during writing leaves neither a partial file nor its draft.
    @Test(arguments: [SIGINT, SIGTERM, SIGHUP])
    func anInterruptedQuantizeLeavesNothing(signal: Int32) async throws {
        let directory = try TemporaryDirectory()
        let process = Program("quantize", DemoTests.folder.path, "-o", "\(directory.path)/a.gguf", "--type", "q4_k")
            .process()
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        let ended = AsyncStream<Void> { continuation in process.terminationHandler = { _ in continuation.finish() } }
        try process.run()
        func files() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: directory.path) }
        while process.isRunning, try !files().contains(where: { $0.hasSuffix(".part") }) { usleep(200) }
        #expect(process.isRunning, "the draft was not seen")
        kill(process.processIdentifier, signal)
        for await _ in ended {}
        #expect(
            signal == SIGINT
                ? process.terminationStatus == 130
                : process.terminationReason == .uncaughtSignal && process.terminationStatus == signal)
        let left = try files()
        #expect(left.allSatisfy { !$0.hasSuffix(".part") }, "\(left)")
    }

    /// Old results stay until new ones are written.
    @Test func resultsStayUntilThereAreOthers() async throws {
        let directory = try media()
        let file = try directory.write(Array("old\n".utf8), to: "out.jsonl")
        let link = "\(directory.path)/latest.jsonl"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "out.jsonl")
        func caption(_ picture: String) async throws -> Program.Outcome {
            try await Program(
                "caption", "--model", checkpoint, "--max-tokens", "1", "\(directory.path)/\(picture)", "--format",
                "json", "-o", link
            ).run()
        }
        let missing = try await caption("none.png")
        #expect(missing.status == 66)
        #expect(try contents(file) == Data("old\n".utf8))
        let done = try await caption("p.png")
        #expect(done.status == 0, "\(done.messages)")
        // The link is still one, to the new results.
        #expect(try contents(file).starts(with: Data(#"{"file": "#.utf8)))
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "out.jsonl")
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: directory.path).allSatisfy { !$0.hasSuffix(".partial") }
        )
    }

    /// A file that caption did not write is neither resumed nor truncated.
    @Test(arguments: ["shopping list: eggs", "eggs\nmilk\n", "{\"a\": 1}\n", #"{"file": "x.png"}"# + "\nnotes"])
    func onlyResultsAreResumed(text: String) async throws {
        let directory = try media()
        let file = try directory.write(Array(text.utf8), to: "list.txt")
        let outcome = try await Program(
            "caption", "--model", checkpoint, "\(directory.path)/p.png", "--format", "json", "-o", file, "--resume"
        ).run()
        #expect(outcome.status == 65 && outcome.messages.contains("expected lines that this command wrote before"))
        #expect(try contents(file) == Data(text.utf8))
    }

    @Test func aDashIsStandardOutput() async throws {
        let directory = try media()
        var program = Program("caption", "--model", checkpoint, "--max-tokens", "1", "p.png", "-o", "-")
        program.directory = directory.path
        let outcome = try await program.run()
        #expect(outcome.status == 0 && !outcome.bytes.isEmpty)
        #expect(!FileManager.default.fileExists(atPath: "\(directory.path)/-"))
    }
}
