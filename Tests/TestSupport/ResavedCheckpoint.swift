import Foundation

/// A copy of a checkpoint directory whose weights are stored in another element type, in one file or several.
///
/// Reads and writes safetensors by itself, so that a mistake in the reader under test cannot hide. From bf16, f32 is
/// exact; so is f16 where the magnitude is at least 2⁻¹⁴, and within 2⁻²⁵ below.
package struct ResavedCheckpoint {
    package enum ElementType: String, Sendable, CaseIterable {
        case float32 = "F32"
        case bfloat16 = "BF16"
        case float16 = "F16"
    }

    /// One tensor in f32, whatever its file holds.
    private struct StoredTensor {
        let name: String
        let shape: [Int]
        let values: [Float]
    }

    private struct Entry: Codable {
        let dtype: String
        let shape: [Int]
        let data_offsets: [Int]
    }

    private struct Index: Codable {
        let metadata: [String: Int]
        let weight_map: [String: String]
    }

    private struct UnknownElementType: Error { let name: String }

    private let directory: TemporaryDirectory
    /// The copy; removed when this value and its copies are gone.
    package var path: String { directory.path }

    /// - Parameters:
    ///   - source: a checkpoint directory.
    ///   - elementType: how every tensor is stored in the copy.
    ///   - shards: number of files; more than one come with an index.
    package init(_ source: String, as elementType: ElementType, shards: Int = 1) throws {
        directory = try TemporaryDirectory()
        var tensors: [StoredTensor] = []
        for file in try FileManager.default.contentsOfDirectory(atPath: source).sorted() {
            if file.hasSuffix(".safetensors") {
                tensors += try Self.read(URL(filePath: "\(source)/\(file)"))
            } else if !file.hasSuffix(".index.json") {
                try FileManager.default.copyItem(atPath: "\(source)/\(file)", toPath: "\(path)/\(file)")
            }
        }
        tensors.sort { $0.name < $1.name }
        try write(tensors, as: elementType, shards: shards)
    }

    private func write(_ tensors: [StoredTensor], as elementType: ElementType, shards: Int) throws {
        if shards == 1 {
            try directory.write(Self.file(tensors, as: elementType), to: "model.safetensors")
            return
        }
        var weightMap: [String: String] = [:]
        for shard in 0..<shards {
            let name = "model-\(Self.padded(shard + 1))-of-\(Self.padded(shards)).safetensors"
            let part = tensors[tensors.count * shard / shards..<tensors.count * (shard + 1) / shards]
            try directory.write(Self.file(part, as: elementType), to: name)
            for tensor in part { weightMap[tensor.name] = name }
        }
        let size = tensors.reduce(0) { $0 + $1.values.count } * (elementType == .float32 ? 4 : 2)
        let index = Index(metadata: ["total_size": size], weight_map: weightMap)
        try directory.write(JSONEncoder().encode(index), to: "model.safetensors.index.json")
    }

    /// Five digits, as the shards' names have them.
    private static func padded(_ number: Int) -> String { String(String(100_000 + number).dropFirst()) }

    private static func read(_ url: URL) throws -> [StoredTensor] {
        let file = try Data(contentsOf: url)
        let start = 8 + file.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
        var header = try JSONSerialization.jsonObject(with: file[8..<start]) as? [String: Any] ?? [:]
        header["__metadata__"] = nil
        let entries = try JSONDecoder().decode(
            [String: Entry].self, from: JSONSerialization.data(withJSONObject: header))
        return try entries.map { name, entry in
            guard let type = ElementType(rawValue: entry.dtype) else { throw UnknownElementType(name: entry.dtype) }
            let bytes = [UInt8](file[start + entry.data_offsets[0]..<start + entry.data_offsets[1]])
            return StoredTensor(name: name, shape: entry.shape, values: decode(bytes, type))
        }
    }

    private static func file(_ tensors: some Collection<StoredTensor>, as elementType: ElementType) throws -> [UInt8] {
        var header: [String: Entry] = [:]
        var data: [UInt8] = []
        for tensor in tensors {
            let begin = data.count
            data += encode(tensor.values, elementType)
            header[tensor.name] = Entry(
                dtype: elementType.rawValue, shape: tensor.shape, data_offsets: [begin, data.count])
        }
        let json = String(decoding: try JSONEncoder().encode(header), as: UTF8.self)
        let padding = String(repeating: " ", count: (8 - json.utf8.count % 8) % 8)  // data at a multiple of 8, as usual
        return safetensorsFile(header: json + padding, data: data)
    }

    private static func decode(_ bytes: [UInt8], _ type: ElementType) -> [Float] {
        let width = type == .float32 ? 4 : 2
        return stride(from: 0, to: bytes.count, by: width).map { at in
            let bits = (0..<width).reduce(UInt32(0)) { $0 | UInt32(bytes[at + $1]) << (8 * $1) }
            return switch type {
            case .float32: Float(bitPattern: bits)
            case .bfloat16: Float(bitPattern: bits << 16)
            case .float16: Float(Float16(bitPattern: UInt16(bits)))
            }
        }
    }

    private static func encode(_ values: [Float], _ type: ElementType) -> [UInt8] {
        values.flatMap { value -> [UInt8] in
            switch type {
            case .float32: littleEndian(value.bitPattern)
            case .bfloat16: littleEndian(roundedToBfloat16(value))
            case .float16: littleEndian(Float16(value).bitPattern)
            }
        }
    }

    /// Nearest, ties to even.
    private static func roundedToBfloat16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        return UInt16((bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
    }

    private static func littleEndian(_ bits: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: bits.littleEndian, Array.init)
    }
}
