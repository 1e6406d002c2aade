import Conversion
import Foundation
import Gemma4
import Gemma4Kit
import TestSupport
import Testing

/// The program on a GGUF file and its towers, written from a golden checkpoint.
struct GGUFTests {
    private let directory: TemporaryDirectory
    private var model: String { "\(directory.path)/model.gguf" }

    init() throws {
        directory = try TemporaryDirectory()
        let export = try GGUFExport(contentsOf: URL(filePath: Goldens.checkpoint("E2B")))
        for file in export.files {
            try export.write(
                file, to: file == .text ? model : "\(directory.path)/mmproj.gguf", types: WeightTypes(layers: nil))
        }
    }

    @Test func answersAsTheDirectory() async throws {
        var program = Program("generate", "--temperature", "0", "--max-tokens", "12", "--format", "json", "one two")
        program.environment["GEMMA4_MODEL"] = model
        let found = try await program.run().decoded(as: AnswerObject.self)
        program.environment["GEMMA4_MODEL"] = Goldens.checkpoint("E2B")
        let expected = try await program.run().decoded(as: AnswerObject.self)
        #expect(!found.tokens.isEmpty && found.tokens == expected.tokens && found.logprobs == expected.logprobs)
    }

    @Test func tokenizesAndInspects() async throws {
        let tokens = try await Program("tokenize", "--model", model, "one two").run()
        #expect(
            try await Program("tokenize", "--model", Goldens.checkpoint("E2B"), "one two").run().text == tokens.text)
        #expect(tokens.status == 0 && !tokens.text.isEmpty)
        struct Inspection: Decodable { let inputs: [String] }
        let inspection = try await Program("inspect", model, "--format", "json").run()
        #expect(try inspection.decoded(as: Inspection.self).inputs == ["text", "image", "audio"])
    }

    @Test func readsTowersThatAreNamed() async throws {
        let towers = "\(directory.path)/towers.gguf"
        try FileManager.default.moveItem(atPath: "\(directory.path)/mmproj.gguf", toPath: towers)
        var program = Program(
            "caption", "attachments/wide.png", "--max-tokens", "2", "--image-tokens", "70", "--model", model)
        let without = try await program.run()
        #expect(without.status == 69 && without.messages.contains("image"))
        program.arguments += ["--mmproj", towers]
        let outcome = try await program.run()
        #expect(outcome.status == 0, "\(outcome.messages)")
    }

    @Test func takesTextAloneIfToldSo() async throws {
        let outcome = try await Program(
            "caption", "attachments/wide.png", "--model", model, "--no-mmproj"
        ).run()
        #expect(outcome.status == 69 && outcome.messages.contains("image"), "\(outcome.messages)")
        #expect(!outcome.messages.contains("warning"))
        struct Inspection: Decodable { let inputs: [String] }
        let inspection = try await Program("inspect", model, "--no-mmproj", "--format", "json").run()
        #expect(try inspection.decoded(as: Inspection.self).inputs == ["text"])
    }

    @Test(
        arguments: [
            (["--model", "README.md"], 65, "README.md: expected a directory or a GGUF file, found another file"),
            (["--model", "none.gguf"], 66, "none.gguf: no such directory or file."),
            (
                ["--model", "E2B/checkpoint", "--mmproj", "a.gguf", "--no-mmproj"], 64,
                "give either --mmproj or --no-mmproj"
            ),
            (
                ["--model", "E2B/checkpoint", "--mmproj", "none.gguf"], 65,
                "none.gguf: expected a GGUF file as its text model"
            ),
        ] as [([String], Int32, String)])
    func refusesWhatIsNoModel(arguments: [String], status: Int32, message: String) async throws {
        var program = Program("generate", "a")
        program.arguments += arguments
        let outcome = try await program.run()
        #expect(outcome.status == status && outcome.messages.contains(message), "\(outcome.messages)")
    }
}
