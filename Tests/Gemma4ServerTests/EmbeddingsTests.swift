import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import JSONText
import TestSupport
import Testing

@testable import Gemma4Kit
@testable import Gemma4Server

private let path = "/v1/embeddings"
private let attachments = Goldens.folder.appending(path: "attachments")

private func open() throws -> Embedder {
    try Embedder(contentsOf: URL(filePath: EmbeddingGoldens.checkpoint), threadCount: 2)
}

private func base64(_ file: String) throws -> String {
    try Data(contentsOf: attachments.appending(path: file)).base64EncodedString()
}

private func vector(_ entry: JSONValue?) -> [Float] {
    entry?["embedding"]?.values.compactMap { $0.double.map(Float.init) } ?? []
}

/// Every value over HTTP is bit-identical to the library's, in decimals and in base64.
@Test func embeddingsAreThoseOfTheLibrary() async throws {
    let embedder = try open()
    let served = Served(embedder: embedder)
    let texts = ["one two three", "what is this?"]
    let expected = try await embedder.embed(texts.map(EmbeddingInput.text))
    let counts = try await [embedder.prompt(.text(texts[0])), embedder.prompt(.text(texts[1]))].map(\.tokens.count)
    let object = try await served.post(path, ["model": "any", "input": .array(texts.map(JSONValue.string))]).json
    #expect(object["object"] == "list" && object["model"] == "tiny")
    for index in 0..<2 {
        let entry = try #require(object["data"]?[index])
        #expect(entry["object"] == "embedding" && entry["index"] == .integer(index))
        #expect(vector(entry) == expected[index])
    }
    let sum = JSONValue.integer(counts[0] + counts[1])
    #expect(object["usage"] == ["prompt_tokens": sum, "total_tokens": sum])
    let encoded = try await served.post(path, ["input": "what is this?", "encoding_format": "base64"]).json
    let text = try #require(encoded["data"]?[0]?["embedding"]?.string)
    let bytes = try #require(Data(base64Encoded: text))
    let numbers = bytes.withUnsafeBytes { bytes in
        stride(from: 0, to: bytes.count, by: 4).map {
            Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self)))
        }
    }
    #expect(numbers == expected[1])
    let metrics = try await served.test { try await $0.execute(uri: "/metrics", method: .get).text }
    #expect(metrics.contains("gemma4_prompt_tokens_total \(2 * counts[0] + 3 * counts[1])\n"))
}

/// Token ids are embedded unchanged; tasks and dimensions are the library's.
@Test func embeddingsHaveTasksLengthsAndIds() async throws {
    let embedder = try open()
    let served = Served(embedder: embedder)
    let query = try await embedder.embed("what is this?", task: "query", dimensions: 256)
    let asked: JSONValue = ["input": "what is this?", "task": "query", "dimensions": 256]
    #expect(vector(try await served.post(path, asked).json["data"]?[0]) == query)
    let ids = try await embedder.prompt(.text("what is this?"), task: "query").tokens.map(JSONValue.integer)
    for input in [JSONValue.array(ids), [.array(ids)]] {
        let object = try await served.post(path, ["input": input, "dimensions": 256]).json
        #expect(object["data"]?.values.count == 1 && vector(object["data"]?[0]) == query)
        #expect(object["usage"]?["prompt_tokens"] == .integer(ids.count))
    }
}

/// Pictures and sound: data URLs, the parts of messages, and files that were sent before.
@Test func embeddingsAreMadeOfMedia() async throws {
    let embedder = try open()
    let served = Served(embedder: embedder)
    let expected = try await embedder.embed([
        .image(.file(attachments.appending(path: "wide.png"))),
        .audio(.file(attachments.appending(path: "chirp.wav"))), .text("a"),
    ])
    let (picture, sound) = (try base64("wide.png"), try base64("chirp.wav"))
    let inputs: [JSONValue] = [
        [.string("data:image/png;base64,\(picture)"), .string("data:audio/wav;base64,\(sound)"), "a"],
        [
            ["type": "image_url", "image_url": ["url": .string("data:image/png;base64,\(picture)")]],
            ["type": "input_audio", "input_audio": ["data": .string(sound), "format": "wav"]],
            ["type": "text", "text": "a"],
        ],
    ]
    for input in inputs {
        let data = try await served.post(path, ["input": input]).json["data"]?.values ?? []
        #expect(data.map(vector) == expected)
    }
}

private struct Refused: Sendable, CustomTestStringConvertible {
    let body: JSONValue
    let parameter: String?
    let message: String

    init(_ body: JSONValue, _ parameter: String?, _ message: String) {
        (self.body, self.parameter, self.message) = (body, parameter, message)
    }

    var testDescription: String { message }

    static let all: [Refused] = [
        .init(["input": []], "input", "expected 1 to 2048 inputs, found 0"),
        .init([:], "input", "expected a text, ids of tokens"),
        .init(["input": [true]], "input", "expected a text, ids of tokens"),
        .init(["input": [1_000_000]], nil, "1000000"),
        .init(["input": "a", "dimensions": 100], "dimensions", "one of 768, 512, 256, 128, found 100"),
        .init(["input": "a", "encoding_format": "int8"], "encoding_format", "float or base64"),
        .init(["input": "a", "task": "rhyme"], nil, "expected one of query, document, Clustering, STS"),
        .init(["input": "data:image/png;base64,%%"], nil, "data:image/png"),
        .init(["input": [["type": "video_url"]]], "input[0].type", "text, image_url or input_audio"),
        .init(["input": [["type": "image_url"]]], "input[0].image_url", "an object with url"),
        .init(["input": [["type": "image_url", "image_url": ["url": "http://a.example/b"]]]], nil, "not fetched"),
    ]
}

@Test(arguments: Refused.all)
private func embeddingsThatCannotBeMadeAreRefused(refused: Refused) async throws {
    let served = Served(embedder: try open())
    let response = try await served.post(path, refused.body)
    let error = try #require(try response.json["error"])
    #expect(response.status == .badRequest && error["type"] == "invalid_request_error")
    #expect(refused.parameter == nil || error["param"]?.string == refused.parameter)
    #expect(error["message"]?.string?.contains(refused.message) == true, "\(error)")
    #expect(served.server.admission.taken == 0)
}

/// An embedding model does not generate, and the reverse: the error names the remedy.
@Test func theOtherKindOfModelIsRefused() async throws {
    let embedding = Served(embedder: try open())
    let chat: JSONValue = ["messages": [["role": "user", "content": "a"]], "input": "a", "prompt": "a"]
    for path in [
        "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens",
        "/v1/audio/transcriptions", "/v1/audio/translations",
    ] {
        let response = try await embedding.post(path, chat)
        #expect(response.status == .badRequest, "\(path)")
        let error = try #require(try response.json["error"])
        #expect(error["message"] == "tiny makes embeddings and writes nothing; ask /v1/embeddings", "\(path)")
    }
    let writing = try Served()
    let response = try await writing.post(path, ["input": "a"])
    #expect(response.status == .badRequest)
    let error = try #require(try response.json["error"])
    #expect(error["code"] == "unsupported_model" && error["param"] == "model")
    #expect(error["message"] == "tiny writes and makes no embeddings; serve EmbeddingGemma 2 for those")
}
