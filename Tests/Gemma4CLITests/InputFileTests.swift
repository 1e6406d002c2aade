import Foundation
import TestSupport
import Testing

private let checkpoint = Goldens.checkpoint("E2B")
private let picture = try! Data(contentsOf: Goldens.folder.appending(path: "attachments/wide.png"))

private struct Line: Decodable { let file: String }

private func files(_ text: String) throws -> [String] {
    try text.split(separator: "\n").map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)).file }
}

private func caption(_ arguments: String..., in directory: TemporaryDirectory) async throws -> Program.Outcome {
    var program = Program("caption", "--model", checkpoint, "--max-tokens", "1")
    program.arguments += arguments
    program.directory = directory.path
    return try await program.run()
}

/// Folders of inputs in practice.
@Suite struct InputFileTests {
    private func folder(_ names: String...) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        for name in names {
            let path = "\(directory.path)/\(name)"
            try FileManager.default.createDirectory(
                at: URL(filePath: path).deletingLastPathComponent(), withIntermediateDirectories: true)
            try picture.write(to: URL(filePath: path))
        }
        return directory
    }

    @Test func whatIsLeftOutIsNamedByKind() async throws {
        let directory = try folder(
            "in/a.png", "in/b.XCF", "in/c.xcf", "in/deep/d.psd", "in/deep/e.xcf", "in/README", "in/._a.png")
        let outcome = try await caption("in", "--format", "json", in: directory)
        #expect(outcome.status == 0)
        #expect(try files(outcome.text) == ["in/a.png"])
        #expect(
            outcome.messages == "gemma4: in: 5 files left out: 3 .xcf, 1 .psd, 1 without extension\n",
            "\(outcome.messages)")
        let other = try folder("in/only.xcf", "in/._b.png")
        let none = try await caption("in", in: other)
        #expect(none.status == 66)
        #expect(none.messages.contains("found none that ends in .avi, .avif, .bmp"), "\(none.messages)")
        #expect(none.messages.contains("; 1 file left out: 1 .xcf"), "\(none.messages)")
    }

    @Test(.timeLimit(.minutes(1))) func linksAreFollowedOnce() async throws {
        let directory = try folder("in/a.png", "in/deep/b.png", "elsewhere/c.png")
        let links = [
            "in/loop": "../in", "in/deep/up": "..", "in/other": "../elsewhere", "in/again": "../elsewhere",
            "in/file.png": "a.png", "in/nowhere.png": "none.png",
        ]
        for (link, target) in links {
            try FileManager.default.createSymbolicLink(
                atPath: "\(directory.path)/\(link)", withDestinationPath: target)
        }
        _ = mkfifo("\(directory.path)/in/pipe.png", 0o600)
        let outcome = try await caption("in", "--format", "json", in: directory)
        let found = try files(outcome.text)
        #expect(Set(found.map { URL(filePath: $0).lastPathComponent }) == ["a.png", "b.png", "c.png", "file.png"])
        #expect(found.count == 4, "\(found)")
        #expect(outcome.status == 66 && outcome.messages.contains("in/nowhere.png: expected a readable file"))
        #expect(outcome.messages.contains("in: 1 file left out: 1 special"))
    }

    /// Names of other encodings, in a folder and as arguments.
    @Test func namesThatAreNotUTF8AreOpened() async throws {
        let directory = try folder("in/a.png")
        for name in ["in/k\u{E4}se.png", "b\u{F6}se.png"] {
            let bytes = Array("\(directory.path)/".utf8) + name.unicodeScalars.map { UInt8($0.value) }
            let descriptor = (bytes + [0]).withUnsafeBufferPointer {
                $0.withMemoryRebound(to: CChar.self) { open($0.baseAddress!, O_WRONLY | O_CREAT, 0o600) }
            }
            try #require(descriptor >= 0)
            try FileHandle(fileDescriptor: descriptor, closeOnDealloc: true).write(contentsOf: picture)
        }
        let folder = try await caption("in", "--format", "json", in: directory)
        #expect(folder.status == 0, "\(folder.messages)")
        #expect(try files(folder.text) == ["in/a.png", #"in/k\xE4se.png"#])
        // Swift cannot hand over such an argument; a shell can.
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = [
            "-c",
            "\(Program.executable.path) caption --model \(checkpoint) --max-tokens 1 --format json b*.png",
        ]
        process.currentDirectoryURL = URL(filePath: directory.path)
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try await process.runToEnd()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(try files(text) == [#"b\xF6se.png"#])
    }

    /// Control characters in names are escaped on a terminal. The file is opened by its name, and JSON contains it.
    @Test(arguments: ["a\u{1B}[2J\u{7}.png", "a\nb\u{7F}.png", "a\u{9B}2J.png"])
    func controlCharactersOfNamesAreNotShown(name: String) async throws {
        let directory = try folder(name)
        let found = try await caption(name, "--format", "json", in: directory)
        #expect(found.status == 0, "\(found.messages)")
        #expect(try files(found.text) == [name])
        try Data("no picture".utf8).write(to: URL(filePath: "\(directory.path)/\(name)"))
        for spelling in [name, "none\(name)"] {
            let outcome = try await caption(spelling, in: directory)
            #expect([65, 66].contains(outcome.status) && outcome.messages.hasPrefix("gemma4: "))
            #expect(outcome.messages.contains(#"\x"#) && outcome.messages.contains(".png: expected"))
            let shown = outcome.messages.dropLast().unicodeScalars
            #expect(!shown.contains { $0.properties.generalCategory == .control }, "\(outcome.messages)")
        }
    }

    /// Control characters are escaped on a terminal and in JSON.
    @Test func controlCharactersOfNamesAreShown() async throws {
        let directory = try folder("in/a\u{1b}[31m.png", "in/b\nc.png")
        let text = try await caption("in", in: directory)
        #expect(
            text.status == 0 && text.text.contains(#"in/a\x1B[31m.png: "#) && text.text.contains(#"in/b\x0Ac.png: "#))
        #expect(!(text.text + text.messages).contains("\u{1b}"))
        let json = try await caption("in", "--format", "json", in: directory)
        #expect(try files(json.text) == ["in/a\u{1b}[31m.png", "in/b\nc.png"])
    }

    /// All spellings of a path identify the same image.
    @Test(arguments: ["in", "./in", "in/", "in/../in", "link", "\u{0}/in"])
    func aFileIsKnownHoweverItIsSpelled(spelling: String) async throws {
        let directory = try folder("in/a.png", "in/deep/b.png")
        try FileManager.default.createSymbolicLink(atPath: "\(directory.path)/link", withDestinationPath: "in")
        let first = try await caption("in", "--format", "json", "-o", "out.jsonl", in: directory)
        #expect(first.status == 0, "\(first.messages)")
        let path = spelling.replacing("\u{0}", with: directory.path)
        let again = try await caption(path, "--format", "json", "-o", "out.jsonl", "--resume", in: directory)
        #expect(again.messages == "gemma4: 2 of 2 pictures are described already\n", "\(again.messages)")
    }

    /// Results written from a parent folder: names are also resolved relative to the results.
    @Test func resultsAreKnownFromElsewhere() async throws {
        let directory = try folder("in/a.png")
        _ = try await caption("in", "--format", "json", "-o", "out.jsonl", in: directory)
        let elsewhere = try TemporaryDirectory()
        let again = try await caption(
            "\(directory.path)/in", "--format", "json", "-o", "\(directory.path)/out.jsonl", "--resume", in: elsewhere)
        #expect(again.messages == "gemma4: 1 of 1 pictures are described already\n", "\(again.messages)")
    }

    @Test func oneStemKeepsItsSuffix() async throws {
        let directory = try folder("in/x.png", "in/x.jpg", "in/y.png")
        let outcome = try await caption("in", "--sidecar", in: directory)
        #expect(outcome.status == 0, "\(outcome.messages)")
        let texts = try FileManager.default.contentsOfDirectory(atPath: "\(directory.path)/in")
            .filter { $0.hasSuffix(".txt") }
        #expect(texts.sorted() == ["x.jpg.txt", "x.png.txt", "y.txt"])

        let sound = try Data(contentsOf: Goldens.folder.appending(path: "attachments/tone.wav"))
        for name in ["talk.wav", "talk.flac", "other.wav"] { try directory.write(sound, to: name) }
        var program = Program(
            "transcribe", "--model", checkpoint, "talk.wav", "talk.flac", "other.wav", "-o", "out", "--max-tokens", "1")
        program.directory = directory.path
        let transcribed = try await program.run()
        #expect(transcribed.status == 0, "\(transcribed.messages)")
        let written = try FileManager.default.contentsOfDirectory(atPath: "\(directory.path)/out").sorted()
        #expect(written == ["other.txt", "talk.flac.txt", "talk.wav.txt"])
    }
}
