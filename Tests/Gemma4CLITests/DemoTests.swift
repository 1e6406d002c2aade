import Foundation
import TestSupport
import Testing

/// The demo model on its samples: words to check, from a trained model.
@Suite struct DemoTests {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Models/Demo")

    /// One entry of `samples/expected.json`: what transformers answers.
    struct Sample: Decodable, Sendable, CustomTestStringConvertible {
        let file, task, prompt, text: String
        let tokens: [Int]

        var testDescription: String { file }
        var path: String { DemoTests.folder.appending(path: "samples/\(file)").path }

        /// - Parameter model: a directory; nil leaves the choice to the program.
        func answered(by model: String?) async throws -> (text: String, tokens: [Int], messages: String) {
            var program = Program(
                task == "transcribe" ? "transcribe" : "caption", "--instruction", prompt, "--format", "json", path)
            if let model { program.arguments += ["--model", model] }
            let outcome = try await program.run()
            let answer = try outcome.decoded(as: Answer.self)
            let tokens = answer.tokens ?? answer.segments?.flatMap(\.tokens) ?? []
            return (answer.text, tokens, outcome.messages)
        }
    }

    /// What the formats of `transcribe` and `caption` have in common; a transcript has its tokens in segments.
    private struct Answer: Decodable {
        struct Segment: Decodable { let tokens: [Int] }
        let text: String
        let tokens: [Int]?
        let segments: [Segment]?
    }

    static let samples: [Sample] = {
        let file = folder.appending(path: "samples/expected.json")
        return (try? JSONDecoder().decode([Sample].self, from: Data(contentsOf: file))) ?? []
    }()

    @Test func thereAreSamplesOfBothJobs() {
        #expect(Self.samples.contains { $0.task == "transcribe" && !$0.text.isEmpty })
        #expect(Self.samples.contains { $0.task == "caption" && !$0.text.isEmpty })
    }

    /// Without --model the demo answers, and says so.
    @Test(arguments: samples)
    func answersAsTransformersDoes(sample: Sample) async throws {
        let answer = try await sample.answered(by: nil)
        #expect(answer.tokens == sample.tokens)
        #expect(answer.text == sample.text)
        let note = answer.messages.split(separator: "\n").filter { $0.contains("demo model") }
        #expect(note.count == 1 && note[0].contains("hf download google/gemma-4-E2B-it"))
    }

    /// A program that is far from any demo model asks for one.
    @Test(arguments: [["generate", "a"], ["inspect"]])
    func withoutItTheProgramAsksForAModel(arguments: [String]) async throws {
        let directory = try TemporaryDirectory()
        let copy = URL(filePath: directory.path).appending(path: "gemma4")
        try FileManager.default.copyItem(at: Program.executable, to: copy)
        var program = Program()
        (program.arguments, program.executable) = (arguments, copy)
        let outcome = try await program.run()
        #expect(outcome.status == 64)
        #expect(outcome.messages.hasPrefix("gemma4: no model: give "))
        #expect(outcome.messages.contains("hf download google/gemma-4-E2B-it"))
    }

    @Test(arguments: [ResavedCheckpoint.ElementType.float32, .float16])
    func otherElementTypesSayTheSame(type: ResavedCheckpoint.ElementType) async throws {
        let copy = try ResavedCheckpoint(Self.folder.path, as: type)
        for sample in Self.samples {
            #expect(try await sample.answered(by: copy.path).text == sample.text)
        }
    }
}
