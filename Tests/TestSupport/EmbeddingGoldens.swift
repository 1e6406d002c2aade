import Foundation
import Testing

/// The output of `Tests/Goldens/embedder/make_embedder.py`.
package struct EmbeddingGoldens: Decodable, Sendable {
    package struct Case: Decodable, Sendable, CustomTestStringConvertible {
        package struct Film: Decodable, Sendable {
            package let frames: Int
            package let fps: Double
            package let width, height: Int
        }
        package let name: String
        package let prompt, text, image, audio: String?
        package let film: Film?
        package let tokens: [Int]

        package var testDescription: String { name }
    }
    package struct Frames: Decodable, Sendable {
        package let frames: Int
        package let fps: Double
        package let indices: [Int]
    }

    package let cases: [Case]
    package let frames: [Frames]

    package static let checkpoint = Goldens.checkpoint("embedder")

    /// Without cases a test of them would pass: `thereAreEmbeddingGoldens` looks.
    package static let all: EmbeddingGoldens = {
        let file = Goldens.folder.appending(path: "embedder/expected.json")
        let decoded = (try? Data(contentsOf: file)).flatMap {
            try? JSONDecoder().decode(EmbeddingGoldens.self, from: $0)
        }
        return decoded ?? EmbeddingGoldens(cases: [], frames: [])
    }()

    package static func embedding(_ name: String) throws -> [Float] {
        try Goldens("embedder/expected.safetensors")("\(name).embedding").values
    }
}
