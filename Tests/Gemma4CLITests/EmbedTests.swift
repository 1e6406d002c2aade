import Foundation
import TestSupport
import Testing

private let checkpoint = EmbeddingGoldens.checkpoint

private struct Line: Decodable {
    let input: String
    let embedding: [Float]
}

private func lines(_ text: String) throws -> [Line] {
    try text.split(separator: "\n").map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
}

private func embed(_ arguments: String..., input: String = "") async throws -> Program.Outcome {
    var program = Program("embed", "--model", checkpoint, input: Data(input.utf8))
    program.arguments += arguments
    return try await program.run()
}

@Suite struct EmbedTests {
    /// Texts, a text file, a picture and a recording in one run.
    @Test func everyInputHasALine() async throws {
        let directory = try TemporaryDirectory()
        let note = try directory.write(Array("Describe two pictures.".utf8), to: "note.swift")
        let outcome = try await embed(
            "--text", "", "--text", "Describe two pictures.", note, "attachments/wide.png", "attachments/chirp.wav")
        #expect(outcome.status == 0 && outcome.messages.isEmpty, "\(outcome.messages)")
        let lines = try lines(outcome.text)
        #expect(
            lines.map(\.input) == ["", "Describe two pictures.", note, "attachments/wide.png", "attachments/chirp.wav"])
        for (line, name) in zip(lines, ["empty", "plain", "plain", "picture", "sound"]) {
            expectClose(line.embedding, try EmbeddingGoldens.embedding(name), absolute: 2e-6)
        }
    }

    @Test func tasksDimensionsAndStandardInput() async throws {
        let outcome = try await embed(
            "-", "--task", "query", "--dimensions", "128", input: "What is a long word?\n\nanother\n")
        let lines = try lines(outcome.text)
        #expect(lines.map(\.input) == ["What is a long word?", "another"])
        let part = try EmbeddingGoldens.embedding("query").prefix(128)
        let length = part.reduce(0) { $0 + $1 * $1 }.squareRoot()
        expectClose(lines[0].embedding, part.map { $0 / length }, absolute: 5e-6)
    }

    /// A failed input is reported, the others are embedded, and the exit status tells.
    @Test func aFileThatCannotBeReadLeavesTheOthers() async throws {
        let outcome = try await embed("none.png", "--text", "one", "media/speech.wav", "none.txt", "--text", "two")
        #expect(outcome.status == 66)
        #expect(try lines(outcome.text).map(\.input) == ["one", "two", "media/speech.wav"])
        #expect(outcome.messages.contains("none.png: expected a readable file, found no such file"))
        #expect(outcome.messages.contains("none.txt: cannot be read"))
    }

    /// Rows in the order of the inputs, zeros where one failed.
    @Test func rowsAreWrittenForNumPy() async throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/a.npy"
        let outcome = try await embed("--text", "", "none.png", "attachments/wide.png", "--format", "npy", "-o", path)
        #expect(outcome.status == 66)
        let bytes = try Data(contentsOf: URL(filePath: path))
        #expect(String(decoding: bytes[10..<128], as: UTF8.self).contains("'shape': (3, 768,)"))
        let values = bytes.dropFirst(128).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        expectClose(Array(values[0..<768]), try EmbeddingGoldens.embedding("empty"), absolute: 2e-6)
        #expect(values[768..<1536].allSatisfy { $0 == 0 })
        expectClose(Array(values[1536...]), try EmbeddingGoldens.embedding("picture"), absolute: 2e-6)
    }

    /// Existing lines are kept; a truncated line is replaced; vectors of another length are refused.
    @Test func resumes() async throws {
        let directory = try TemporaryDirectory()
        let picture = try Data(contentsOf: Goldens.folder.appending(path: "attachments/wide.png"))
        try FileManager.default.createDirectory(atPath: "\(directory.path)/in/deep", withIntermediateDirectories: true)
        for name in ["in/a.png", "in/deep/b.png"] { try directory.write(picture, to: name) }
        try directory.write(Array("one".utf8), to: "in/c.md")
        let file = "\(directory.path)/out.jsonl"
        let first = try await embed("\(directory.path)/in/a.png", "--text", "one", "-o", file, "--resume")
        #expect(first.status == 0 && first.bytes.isEmpty, "\(first.messages)")
        let before = try String(contentsOfFile: file, encoding: .utf8)
        try (before + #"{"input":"cut o"#).write(toFile: file, atomically: true, encoding: .utf8)
        let second = try await embed("--text", "one", "--text", "two", "\(directory.path)/in", "-o", file, "--resume")
        #expect(second.status == 0 && second.messages.contains("2 of 5 inputs are done already"), "\(second.messages)")
        let after = try String(contentsOfFile: file, encoding: .utf8)
        #expect(after.hasPrefix(before))
        let names = try lines(after).map(\.input)
        #expect(
            names == [
                "one", "\(directory.path)/in/a.png", "two", "\(directory.path)/in/c.md",
                "\(directory.path)/in/deep/b.png",
            ])
        let other = try await embed("--text", "three", "--dimensions", "256", "-o", file, "--resume")
        #expect(other.status == 64 && other.messages.contains("holds vectors of 768 dimensions, these would have 256"))
        #expect(try String(contentsOfFile: file, encoding: .utf8) == after)
    }

    @Test(arguments: [
        (["--text", "a", "--task", "rhyme"], "--task: expected one of query, document, Clustering, STS, found rhyme"),
        (["--text", "a", "--dimensions", "100"], "--dimensions: expected one of 768, 512, 256, 128, found 100"),
        ([], "give --text or files"), (["--text", "a", "--resume"], "--resume needs -o"),
        (["--image", "a.png"], "go with --soft-tokens"), (["--text", "a", "--format", "npy"], "--format npy needs -o"),
    ])
    func mistakesAreNamed(arguments: [String], message: String) async throws {
        var program = Program("embed", "--model", checkpoint)
        program.arguments += arguments
        let outcome = try await program.run()
        #expect(outcome.status == 64 && outcome.bytes.isEmpty)
        #expect(outcome.messages.contains(message), "\(outcome.messages)")
    }

    // MARK: The wrong model

    @Test func aModelThatWritesIsRefused() async throws {
        let outcome = try await Program("embed", "--model", Goldens.checkpoint("E2B"), "--text", "a").run()
        #expect(outcome.status == 69)
        #expect(outcome.messages.contains("expected EmbeddingGemma 2, which makes embeddings, found Gemma 4"))
        #expect(outcome.messages.contains("gemma4 embed --soft-tokens"))
        let none = try await Program("embed", "--text", "a").run()
        #expect(none.status == 64 && none.messages.contains("hf download google/embeddinggemma-2"))
    }

    @Test(arguments: [
        ["generate", "a"], ["chat"], ["caption", "attachments/wide.png"], ["transcribe", "attachments/tone.wav"],
        ["score", "--text", "a"], ["embed", "--soft-tokens", "--image", "attachments/wide.png", "-o", "-"],
    ])
    func otherCommandsRefuseIt(arguments: [String]) async throws {
        var program = Program(arguments[0], "--model", checkpoint)
        program.arguments += arguments.dropFirst()
        let outcome = try await program.run()
        #expect(outcome.status == 69 && outcome.bytes.isEmpty)
        #expect(outcome.messages.contains("Give it to gemma4 embed"), "\(outcome.messages)")
    }

    @Test func quantizeRefusesIt() async throws {
        let directory = try TemporaryDirectory()
        let outcome = try await Program("quantize", checkpoint, "-o", "\(directory.path)/a.gguf", "--type", "q8_0")
            .run()
        #expect(outcome.status == 69 && outcome.messages.contains("EmbeddingGemma 2"), "\(outcome.messages)")
    }

    @Test func inspectDescribesIt() async throws {
        let outcome = try await Program("inspect", checkpoint).run()
        #expect(outcome.status == 0, "\(outcome.messages)")
        #expect(outcome.text.contains("one vector of 768 dimensions for each input: gemma4 embed"))
        #expect(outcome.text.contains("10 sliding (5 tokens to either side), 2 full"))
        #expect(outcome.text.contains("none: a text is read whole, in both directions"))
        #expect(outcome.text.contains("query, document, Clustering, STS") && !outcome.text.contains("chat format"))
        let published = try await Program(
            "inspect", Goldens.folder.appending(path: "../../Models/EmbeddingGemma2").path, "--format", "json"
        ).run()
        #expect(published.text.contains(#""variant": "EmbeddingGemma 2""#))
        #expect(published.text.contains(#""embedding_dimensions": 768"#))
    }

    @Test func benchMeasuresIt() async throws {
        struct Measured: Decodable {
            let texts, tokensPerText: Int
            let batchSeconds, singleSeconds: Double
        }
        let outcome = try await Program("bench", "--model", checkpoint, "--repeats", "1", "--format", "json").run()
        #expect(outcome.status == 0, "\(outcome.messages)")
        let measured: Measured = try outcome.decoded()
        #expect(measured.texts == 64 && measured.tokensPerText == 32)
        #expect(measured.batchSeconds > 0 && measured.singleSeconds > 0)
    }
}
