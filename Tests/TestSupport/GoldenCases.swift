import Foundation
import Testing
import Tokenization

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
    package var messages: [ChatMessage] {
        get throws { try ChatMessage.parse(json: Data(contentsOf: URL(filePath: messagesFile))) }
    }
    /// The folder that references to media in `messages` are relative to.
    package var mediaFolder: URL { URL(filePath: messagesFile).deletingLastPathComponent() }
    package var checkpoint: String { Goldens.checkpoint(variant) }

    /// The text of the first message.
    package var instruction: String {
        get throws {
            switch try messages[0].content {
            case .text(let text)?: text
            case .parts(let parts)?:
                parts.compactMap { if case .text(let text) = $0.kind { text } else { nil } }.joined()
            case .value?, nil: ""
            }
        }
    }

    /// References to the media of all messages, in order.
    package var media: [String] {
        get throws {
            try messages.flatMap { message -> [String] in
                guard case .parts(let parts)? = message.content else { return [] }
                return parts.compactMap { if case .medium(_, let reference) = $0.kind { reference } else { nil } }
            }
        }
    }

    package static func named(_ names: String...) -> [GoldenCase] { all.filter { names.contains($0.name) } }

    package static func one(_ variant: String, _ name: String) throws -> GoldenCase {
        try #require(
            all.first { $0.variant == variant && $0.name == name }, "no case \(name) in Tests/Goldens/\(variant)")
    }
}
