import Foundation
import Testing

/// The cases of `Tests/Goldens/V/expected.json`: conversations and what transformers answers.
package struct GoldenCase: Decodable, Sendable, CustomTestStringConvertible {
    package let name: String
    package let thinking, traced: Bool
    package let prompt: String
    package let promptTokens: [Int]
    package let promptLogprobs: [Float?]
    package let tokens: [Int]
    package let logprobs: [Float]
    package let finishReason, text: String
    /// Set by `all`: one of `Goldens.variants`.
    package private(set) var variant: String = ""

    private enum CodingKeys: String, CodingKey {
        case name, thinking, traced, prompt, tokens, logprobs, text
        case promptTokens = "prompt_tokens"
        case promptLogprobs = "prompt_logprobs"
        case finishReason = "finish_reason"
    }

    private struct File: Decodable { let cases: [GoldenCase] }

    /// Every case of every variant.
    package static let all: [GoldenCase] = Goldens.variants.flatMap { variant in
        let file = Goldens.folder.appending(path: "\(variant)/expected.json")
        // A test that finds no case fails by itself: see `GoldenCasesTests`.
        guard let data = try? Data(contentsOf: file), let decoded = try? JSONDecoder().decode(File.self, from: data)
        else { return [GoldenCase]() }
        return decoded.cases.map { golden in
            var golden = golden
            golden.variant = variant
            return golden
        }
    }

    package var testDescription: String { "\(variant) \(name)" }
    /// The conversation, in the message form of the any-to-any pipeline.
    package var messagesFile: String { Goldens.folder.appending(path: "\(variant)/messages/\(name).json").path }
    package var checkpoint: String { Goldens.checkpoint(variant) }
}
