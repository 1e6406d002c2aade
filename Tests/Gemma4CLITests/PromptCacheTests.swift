import Foundation
import TestSupport
import Testing
import Tokenization

@testable import Gemma4CLI

/// `--prompt-cache`, and the files of `/save`.
@Suite struct PromptCacheTests {
    private let directory: TemporaryDirectory
    private let file: String
    private let long = (0..<60).map { "word \($0 % 7)" }.joined(separator: " ")

    init() throws {
        directory = try TemporaryDirectory()
        file = "\(directory.path)/prompt.cache"
    }

    private func generate(_ question: String, _ arguments: String...) async throws -> Program.Outcome {
        var program = Program(
            "generate", "--model", "E2B/checkpoint", "--temperature", "0", "--max-tokens", "6", "--format", "json",
            "--image", "attachments/wide.png", "\(long) \(question)")
        program.arguments += arguments
        return try await program.run()
    }

    @Test func aSecondRunReadsWhatIsNew() async throws {
        let first = try await generate("And now?", "--prompt-cache", file)
        #expect(first.status == 0 && first.messages.isEmpty, "\(first.messages)")
        let written = try Data(contentsOf: URL(filePath: file))
        let second = try await generate("And now?", "--prompt-cache", file)
        let answers = try [first, second].map { try $0.decoded(as: AnswerObject.self) }
        #expect(answers[1].tokens == answers[0].tokens)
        #expect(answers[0].timings["cached_tokens"] == 0 && answers[0].timings["encode_seconds"]! > 0)
        #expect(answers[1].timings["cached_tokens"] == Double(answers[0].promptTokens.count - 1))
        #expect(answers[1].timings["encode_seconds"] == 0)
        // With a short new suffix, the file stays unchanged.
        let other = try await generate("And then?", "--prompt-cache", file)
        let plain = try await generate("And then?")
        #expect(try other.decoded(as: AnswerObject.self).tokens == plain.decoded(as: AnswerObject.self).tokens)
        #expect(try Data(contentsOf: URL(filePath: file)) == written)
        // A long new suffix rewrites it.
        let far = try await generate("And then? \(long)", "--prompt-cache", file)
        #expect(far.status == 0)
        #expect(try Data(contentsOf: URL(filePath: file)) != written)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["prompt.cache"])
    }

    @Test func filesThatCannotBeUsedEndTheProgram() async throws {
        let notes = try directory.write(Array("notes, and more than thirty-two bytes of them\n".utf8), to: "notes.txt")
        let refused = try await generate("x", "--prompt-cache", notes)
        #expect(refused.status == 65 && refused.text.isEmpty)
        #expect(refused.messages.contains("expected a prompt cache or a saved conversation, found another file"))
        let nowhere = try await generate("x", "--prompt-cache", "\(notes)/a.cache")
        #expect(nowhere.status == 73 && nowhere.text.isEmpty)
        _ = try await generate("x", "--prompt-cache", file)
        let type = try await generate("x", "--prompt-cache", file, "--kv-cache", "q8_0")
        #expect(type.status == 65)
        #expect(type.messages.contains("expected keys and values in q8_0, found float32. Start with the --kv-cache"))
    }

    /// With a full disk the answer and an error are printed, and the files are unchanged.
    @Test func aFullDiskIsAnError() async throws {
        func limited(_ kilobytes: Int) async throws -> Program.Outcome {
            // Blocks of 512 bytes; a signal that is ignored leaves the error.
            var program = Program(
                "-c", "trap '' XFSZ; ulimit -f \(kilobytes * 2); exec \"$0\" \"$@\"", Program.executable.path)
            program.arguments += [
                "generate", "--model", "E2B/checkpoint", "--temperature", "0", "--max-tokens", "6", "--prompt-cache",
                file, long,
            ]
            program.executable = URL(filePath: "/bin/sh")
            return try await program.run()
        }
        let full = try await limited(20)
        #expect(full.status == 73 && !full.text.isEmpty)
        #expect(
            full.messages.contains("prompt.cache: cannot be written: File too large. Give another name, or make room."))
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
        let roomy = try await limited(100_000)
        #expect(roomy.status == 0 && roomy.text == full.text)
        #expect(FileManager.default.fileExists(atPath: file))
    }

    // MARK: chat

    private func chat(_ arguments: [String], _ lines: String...) async throws -> Program.Outcome {
        var program = Program(
            "chat", "--model", "E2B/checkpoint", "--temperature", "0", "--max-tokens", "6",
            input: Data(lines.map { "\($0)\n" }.joined().utf8))
        program.arguments += arguments
        return try await program.run()
    }

    private func tokens(_ outcome: Program.Outcome) throws -> (read: Int, known: Int) {
        let match = try #require(
            outcome.messages.firstMatch(of: /last answer: (\d+) tokens read at .*\/s, (\d+) known from before/),
            "\(outcome.messages)")
        return (try #require(Int(match.1)), try #require(Int(match.2)))
    }

    /// The system prompt and the image at the beginning of conversations are prefilled once.
    @Test func conversationsBeginFromAPromptCache() async throws {
        let arguments = ["--prompt-cache", file, "--system", long]
        let first = try await chat(arguments, "/image attachments/wide.png", "one", "two", "/stats")
        let second = try await chat(arguments, "/image attachments/wide.png", "three", "/stats")
        #expect(first.status == 0 && second.status == 0)
        let (read, known) = try tokens(second)
        #expect(read < 20 && known > 100)
        #expect(second.text == (try await chat(["--system", long], "/image attachments/wide.png", "three")).text)
    }

    /// A saved conversation continues without prefilling any token twice; its image is not encoded again.
    @Test func savedConversationsBringTheirKeysAndValues() async throws {
        let talk = "\(directory.path)/talk"
        let whole = try await chat([], "/image attachments/wide.png", long, "/save \(talk)", "two", "/stats")
        #expect(whole.messages.hasPrefix("gemma4: \(talk): 2 messages\n"))
        let rest = try await chat([], "/load \(talk)", "two", "/stats")
        #expect(!rest.text.isEmpty && whole.text.hasSuffix(rest.text))
        let (inOne, afterwards) = (try tokens(whole), try tokens(rest))
        #expect(afterwards.read == inOne.read && afterwards.known == inOne.known && inOne.known > 100)
        let started = try await chat(["--load", talk], "two", "/stats")
        #expect(started.text == rest.text)
        #expect(try tokens(started).read == inOne.read)
        // Saved again, and with more in it.
        let again = try await chat(["--load", talk], "two", "/save \(talk)", "/undo", "/stats")
        #expect(again.messages.contains("\(talk): 4 messages"))
        let refused = try await chat(
            [], "one", "/save \(directory.path)/nowhere/talk", "/load \(directory.path)", "two")
        #expect(refused.status == 0 && refused.text.split(separator: "\n").count >= 2)
        #expect(refused.messages.contains("nowhere/talk: cannot be written: No such file or directory"))
    }

    @Test func conversationsOfOtherModelsAreRefused() async throws {
        let talk = "\(directory.path)/talk"
        _ = try await chat([], "one", "/save \(talk)")
        let other = try await Program(
            "chat", "--model", "E4B/checkpoint", "--max-tokens", "6", "--temperature", "0",
            input: Data("/load \(talk)\none\n".utf8)
        ).run()
        #expect(other.status == 0 && !other.text.isEmpty)
        #expect(other.messages.contains("talk: expected keys and values of checkpoint"))
        let started = try await chat(["--load", talk, "--kv-cache", "f16"], "one")
        #expect(started.status == 65 && started.text.isEmpty)
    }
}
