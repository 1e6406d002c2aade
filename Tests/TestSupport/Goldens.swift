import Foundation

/// The output of `Tests/Goldens/make_goldens.py`: f32 tensors by name, from a safetensors file.
///
/// An independent reader, so that an error in ours cannot mask itself.
package struct Goldens: Sendable {
    package static let variants = ["E2B", "E4B", "12B", "31B", "26B-A4B"]
    /// Those that send pictures through an encoder.
    package static let variantsWithTowers = variants.filter { $0 != "12B" }
    package static let folder = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Goldens")

    package struct Values: Sendable {
        package let shape: [Int]
        package let values: [Float]

        package init(shape: [Int], values: [Float]) { (self.shape, self.values) = (shape, values) }

        /// The largest magnitude, at least 1: what tolerances are stated against.
        package var scale: Float { values.reduce(1) { max($0, abs($1)) } }
    }

    private struct Entry: Decodable, Sendable {
        let dtype: String
        let shape: [Int]
        let data_offsets: [Int]
    }

    private struct Missing: Error { let name: String }

    private let file: Data
    private let entries: [String: Entry]
    private let start: Int

    /// - Parameter file: path within `Tests/Goldens`.
    package init(_ file: String) throws {
        self.file = try Data(contentsOf: Self.folder.appending(path: file), options: .mappedIfSafe)
        start = 8 + self.file.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
        entries = try JSONDecoder().decode([String: Entry].self, from: self.file[8..<start])
    }

    /// The directory of a variant's checkpoint.
    package static func checkpoint(_ variant: String) -> String { folder.appending(path: "\(variant)/checkpoint").path }

    package func callAsFunction(_ name: String) throws -> Values {
        guard let entry = entries[name], entry.dtype == "F32" else { throw Missing(name: name) }
        let bytes = Data(file[start + entry.data_offsets[0]..<start + entry.data_offsets[1]])
        return Values(shape: entry.shape, values: bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) })
    }
}
