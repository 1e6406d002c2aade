import Foundation
import Testing

/// The cases of `Tests/Goldens/V/expected.json`: conversations and what transformers answers.
public struct GoldenCase: Decodable, Sendable, CustomTestStringConvertible {
    public let name: String
    public let thinking, traced: Bool
    public let prompt: String
    public let promptTokens: [Int]
    public let promptLogprobs: [Float?]
    public let tokens: [Int]
    public let logprobs: [Float]
    public let finishReason, text: String
    /// Set by `all`: one of `Goldens.variants`.
    public private(set) var variant: String = ""

    private enum CodingKeys: String, CodingKey {
        case name, thinking, traced, prompt, tokens, logprobs, text
        case promptTokens = "prompt_tokens"
        case promptLogprobs = "prompt_logprobs"
        case finishReason = "finish_reason"
    }

    private struct File: Decodable { let cases: [GoldenCase] }

    /// Every case of every variant.
    public static let all: [GoldenCase] = Goldens.variants.flatMap { variant in
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

    public var testDescription: String { "\(variant) \(name)" }
    /// The conversation, in the message form of the any-to-any pipeline.
    public var messagesFile: String { Goldens.folder.appending(path: "\(variant)/messages/\(name).json").path }
    public var checkpoint: String { Goldens.checkpoint(variant) }
}
