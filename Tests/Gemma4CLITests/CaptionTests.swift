import Foundation
import TestSupport
import Testing

private let checkpoint = Goldens.checkpoint("E2B")

/// `count` copies of an image, some of them in a subfolder.
private func pictures(_ count: Int) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    let bytes = try Data(contentsOf: Goldens.folder.appending(path: "attachments/wide.png"))
    try FileManager.default.createDirectory(atPath: "\(directory.path)/in/deep", withIntermediateDirectories: true)
    for index in 0..<count {
        try directory.write(bytes, to: "in/\(index.isMultiple(of: 3) ? "deep/" : "")\(index).png")
    }
    try directory.write(Array("no picture".utf8), to: "in/notes.md")
    return directory
}

private func caption(_ arguments: String...) async throws -> Program.Outcome {
    var program = Program("caption", "--model", checkpoint, "--max-tokens", "2")
    program.arguments += arguments
    return try await program.run()
}

private struct Line: Decodable {
    struct Explain: Decodable { let width, height, seenWidth, seenHeight, imageTokens, budget: Int }
    let file, text: String
    let promptTokens: [Int]
    let explain: Explain?
}

private func lines(_ text: String) throws -> [Line] {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try text.split(separator: "\n").map { try decoder.decode(Line.self, from: Data($0.utf8)) }
}

@Suite struct CaptionTests {
    /// The program is killed while it runs; the written results stay, and only the rest is processed by the next run.
    @Test(.timeLimit(.minutes(3))) func aFolderIsInterruptedAndResumed() async throws {
        let directory = try pictures(500)
        let file = "\(directory.path)/out.jsonl"
        let arguments = [
            "caption", "--model", checkpoint, "--max-tokens", "2", "\(directory.path)/in", "--format", "json", "-o",
            file, "--resume",
        ]
        var program = Program()
        program.arguments = arguments
        let process = program.process()
        process.standardError = FileHandle.nullDevice
        let ended = AsyncStream<Void> { continuation in process.terminationHandler = { _ in continuation.finish() } }
        try process.run()
        func written() -> String { (try? String(contentsOfFile: file, encoding: .utf8)) ?? "" }
        while process.isRunning, written().count(where: { $0 == "\n" }) < 3 {
            try await Task.sleep(for: .milliseconds(5))
        }
        kill(process.processIdentifier, SIGKILL)
        for await _ in ended {}
        let before = written()
        // Simulates a truncated last line.
        try Data((before + #"{"file": "\#(directory.path)/in/9"#).utf8).write(to: URL(filePath: file))
        let outcome = try await program.run()
        #expect(outcome.status == 0 && outcome.bytes.isEmpty)
        #expect(outcome.messages.contains(" of 500 pictures are described already"))
        #expect(written().hasPrefix(before))
        let files = try lines(written()).map(\.file)
        #expect(files.count == 500 && Set(files).count == 500)
        let again = try await program.run()
        #expect(again.messages.hasSuffix("gemma4: 500 of 500 pictures are described already\n"))
        #expect(try lines(written()).count == 500)
    }

    @Test func textsStandBesideTheirPictures() async throws {
        let directory = try pictures(3)
        let outcome = try await caption("\(directory.path)/in", "--sidecar")
        #expect(outcome.status == 0 && outcome.bytes.isEmpty)
        let alone = try await caption("\(directory.path)/in/1.png")
        for name in ["deep/0.txt", "1.txt", "2.txt"] {
            #expect(try String(contentsOfFile: "\(directory.path)/in/\(name)", encoding: .utf8) == alone.text)
        }
        try Data("mine".utf8).write(to: URL(filePath: "\(directory.path)/in/1.txt"))
        try FileManager.default.removeItem(atPath: "\(directory.path)/in/2.txt")
        _ = try await caption("\(directory.path)/in", "--sidecar", "--resume")
        #expect(try String(contentsOfFile: "\(directory.path)/in/1.txt", encoding: .utf8) == "mine")
        #expect(try String(contentsOfFile: "\(directory.path)/in/2.txt", encoding: .utf8) == alone.text)
    }

    /// 1120 for small print; `auto` takes the smallest budget without downscaling.
    @Test func budgetsSuitThePurpose() async throws {
        func explain(_ arguments: String...) async throws -> Line {
            var program = Program(
                "caption", "--model", checkpoint, "attachments/poster.png", "--max-tokens", "1", "--format", "json",
                "--explain")
            program.arguments += arguments
            return try lines(try await program.run().text)[0]
        }
        let ocr = try #require(try await explain("--style", "ocr").explain)
        let auto = try await explain("--image-tokens", "auto")
        let plain = try #require(try await explain().explain)
        let seen = try #require(auto.explain)
        #expect(ocr.budget == 1120 && seen.budget == 140)
        #expect(seen.seenWidth * seen.seenHeight >= seen.width * seen.height)
        #expect(seen.imageTokens == seen.seenWidth / 48 * (seen.seenHeight / 48) && seen.imageTokens <= 140)
        #expect(plain.imageTokens <= plain.budget && ocr.imageTokens > plain.imageTokens)
        #expect(auto.promptTokens.count > seen.imageTokens)
        let text = try await caption("attachments/poster.png", "--explain", "--style", "short")
        #expect(text.messages.contains("attachments/poster.png: \(plain.width) × \(plain.height), seen at "))
    }

    /// A folder of numbered images needs no ffmpeg; without ffmpeg a film is refused with the remedy.
    @Test func filmsAreSeen() async throws {
        let directory = try pictures(5)
        let folder = try await Program(
            "generate", "--model", checkpoint, "--temperature", "0", "--max-tokens", "2", "--video",
            "\(directory.path)/in/deep", "What happens?", "--format", "json"
        ).run()
        let answer: AnswerObject = try folder.decoded()
        // 0.png and 3.png, in two frames.
        #expect(folder.status == 0 && answer.promptTokens.count > 20)
        try directory.write(Array("....ftypisom".utf8), to: "film.mp4")
        var program = Program("caption", "--model", checkpoint, "\(directory.path)/film.mp4")
        program.environment = ["PATH": "/nowhere"]
        let outcome = try await program.run()
        #expect(outcome.status == 69)
        #expect(
            outcome.messages.contains(
                "expected ffmpeg on the PATH, which reads films, found none; install it with: apt-get"))
    }

    /// If one sidecar cannot be written, the others are complete, and only the missing one is processed later.
    @Test func aSidecarThatCannotBeWrittenIsAloneWithIt() async throws {
        let directory = try pictures(8)
        _ = try await caption("\(directory.path)/in", "--sidecar")
        func text(_ name: String) throws -> String {
            try String(contentsOfFile: "\(directory.path)/in/\(name).txt", encoding: .utf8)
        }
        let whole = try text("1")
        for name in ["1", "2", "4", "5", "7"] {
            try FileManager.default.removeItem(atPath: "\(directory.path)/in/\(name).txt")
        }
        try FileManager.default.createDirectory(
            atPath: "\(directory.path)/in/1.txt", withIntermediateDirectories: false)
        for (arguments, done) in [(["--sidecar"], nil), (["--sidecar", "--resume"], "7 of 8 pictures")]
            as [([String], String?)]
        {
            var program = Program("caption", "--model", checkpoint, "--max-tokens", "2", "\(directory.path)/in")
            program.arguments += arguments
            let outcome = try await program.run()
            #expect(outcome.status == 73 && outcome.messages.contains("in/1.txt: cannot be created"))
            if let done { #expect(outcome.messages.contains(done), "\(outcome.messages)") }
            for name in ["2", "4", "5", "7"] { #expect(try text(name) == whole) }
        }
    }

    @Test func oneRunAtATimeAddsToAFile() async throws {
        let directory = try pictures(1)
        let path = try directory.write([], to: "out.jsonl")
        let other = open(path, O_RDWR)
        #expect(flock(other, LOCK_EX) == 0)
        let outcome = try await caption("\(directory.path)/in", "--format", "json", "-o", path, "--resume")
        #expect(outcome.status == 73 && outcome.messages.contains("another run is adding to it"))
        close(other)
        #expect(try await caption("\(directory.path)/in", "--format", "json", "-o", path, "--resume").status == 0)
    }

    @Test(arguments: [
        Mistake(
            "caption", "a.png", "--resume", status: 64, message: "--resume needs --sidecar, -o with a folder, or"),
        Mistake(
            "caption", "a.png", "--style", "ocr", "--instruction", "b", status: 64,
            message: "give either --style or --instruction"),
        Mistake("caption", "a.png", "--style", "long", status: 64, message: "'long' is invalid for '--style <style>'"),
        Mistake("caption", "E2B/messages", status: 66, message: "found none that ends in .avi, .avif, .bmp"),
        Mistake(
            "caption", "a.png", "-o", "none/a.jsonl", "--format", "json", status: 73,
            message: "none/a.jsonl: cannot be created"),
    ])
    func mistakesAreNamed(mistake: Mistake) async throws {
        var program = Program()
        program.arguments = mistake.arguments
        let outcome = try await program.run()
        #expect(outcome.status == mistake.status && outcome.bytes.isEmpty)
        #expect(outcome.messages.contains(mistake.message), "\(outcome.messages)")
    }
}
