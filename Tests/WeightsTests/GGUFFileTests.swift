import Foundation
import Tensors
import TestSupport
import Testing

@testable import Weights

/// A file of two tensors and one key of each kind, and the errors for malformed files.
struct GGUFFileTests {
    private let directory: TemporaryDirectory
    private var path: String { "\(directory.path)/m.gguf" }

    private static let changed = "The file was cut or changed. Download or convert it again."

    init() throws { directory = try TemporaryDirectory() }

    /// "a", f32 `[2, 3]`; "b", bf16 `[5]`.
    private func write(_ metadata: [(key: String, value: GGUFValue)] = []) throws -> [UInt8] {
        var writer = try GGUFWriter(
            path, metadata: metadata,
            tensors: [.init("a", .float32, [2, 3]), .init("b", .bfloat16, [5])])
        try [Float](arrayLiteral: 1, 2, 3, 4, 5, 6).withUnsafeBytes { try writer.append($0) }
        try [UInt16](repeating: 0x3F80, count: 5).withUnsafeBytes { try writer.append($0) }
        try writer.finish()
        return [UInt8](try Data(contentsOf: URL(filePath: path)))
    }

    private func read(_ bytes: [UInt8]) throws -> GGUFFile {
        try GGUFFile(directory.write(bytes, to: "m.gguf"))
    }

    @Test func readsWhatItWrites() throws {
        let file = try read(
            write([
                ("u8", .uint8(.max)), ("i8", .int8(.min)), ("u16", .uint16(.max)), ("i16", .int16(.min)),
                ("u32", .uint32(.max)), ("i32", .int32(.min)), ("u64", .uint64(.max)), ("i64", .int64(.min)),
                ("f32", .float32(0.5)), ("f64", .float64(-2.5)), ("yes", .bool(true)), ("text", .string("▁é\n")),
                ("flags", .array(GGUFArray([true, false]))), ("texts", .array(GGUFArray(["", "▁a", "b c"]))),
                ("numbers", .array(GGUFArray([1, -2, 3] as [Int32]))),
                ("nested", .array(GGUFArray(.array, [.array(GGUFArray(["x"])), .array(GGUFArray([] as [String]))]))),
            ]))
        let integers: [String: Int] = [
            "u8": 255, "i8": -128, "u16": 65535, "i16": -32768, "u32": 4_294_967_295, "i32": -2_147_483_648,
            "i64": .min,
        ]
        for (key, value) in integers { #expect(file.metadata[key]?.integer == value, "\(key)") }
        #expect(file.metadata["u64"] != nil && file.metadata["u64"]?.integer == nil)
        #expect(file.metadata["f32"]?.number == 0.5 && file.metadata["f64"]?.number == -2.5)
        #expect(file.metadata["yes"]?.summary == "true" && file.metadata["text"]?.string == "▁é\n")
        #expect(file.metadata["flags"]?.array?.integers == [1, 0])
        #expect(file.metadata["numbers"]?.array?.integers == [1, -2, 3])
        let texts = try #require(file.metadata["texts"]?.array?.strings)
        #expect(texts.bytes == Array("▁ab c".utf8) && texts.ends == [0, 4, 7])
        #expect(file.metadata["nested"]?.summary == "an array of 2 array")
        #expect(file.tensors.map(\.name) == ["a", "b"] && file.tensors.map(\.shape) == [[2, 3], [5]])
        #expect(file.tensor("b")?.elementType == .bfloat16 && file.tensor("c") == nil)
        #expect(file.tensors.allSatisfy { $0.range.lowerBound.isMultiple(of: 32) })
        #expect(try GGUFShards(path).floats("a") == [1, 2, 3, 4, 5, 6])
    }

    /// A truncated file is never read as a complete one, wherever it is cut.
    @Test func refusesFilesCutAnywhere() throws {
        let whole = try write([("texts", .array(GGUFArray(["ab", "c"]))), ("n", .uint32(1))])
        for count in 1..<whole.count - 22 {  // 22 bytes pad the last tensor, and may be missing
            let error = #expect(throws: CheckpointError.self) { try read(Array(whole.prefix(count))) }
            #expect([.invalidHeader, .invalidTensor].contains(error?.code) && error?.remedy != nil)
        }
        #expect(throws: Never.self) { try read(Array(whole.prefix(whole.count - 22))) }
    }

    /// No single changed byte traps; most are detected.
    @Test func anyByteMayBeWrong() throws {
        let whole = try write([("texts", .array(GGUFArray(["ab", "c"]))), ("general.alignment", .uint32(32))])
        for index in whole.indices {
            for wrong in [0x00, 0x7F, 0x80, 0xFF] as [UInt8] where wrong != whole[index] {
                var bytes = whole
                bytes[index] = wrong
                guard let file = try? read(bytes) else { continue }
                for tensor in file.tensors { #expect(tensor.range.upperBound <= bytes.count) }
            }
        }
    }

    private struct Damage: Sendable, CustomTestStringConvertible {
        let name: String
        /// Offset in the file, and the bytes written there.
        let place: Int
        let bytes: [UInt8]
        let expected: String

        var testDescription: String { name }
    }

    /// Byte offsets within the file of `write([("k", uint32)])`.
    private enum Layout {
        static let (tensorCount, keyCount, keyLength, key, kind) = (8, 16, 24, 32, 33)
        static let (rank, columns, rows, type, offset, secondName) = (50, 54, 62, 70, 74, 90)
    }

    private static let types =
        "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, MXFP4"

    private static let damages: [Damage] = [
        Damage(
            name: "another format", place: 0, bytes: Array("PK\u{3}\u{4}".utf8),
            expected:
                ": expected a GGUF file, which begins with \"GGUF\", found other bytes. Check the path and the download."
        ),
        Damage(
            name: "version 1", place: 4, bytes: [1],
            expected:
                ", version: expected 2 or 3, found 1. Convert the model again with a current converter, for little-endian machines."
        ),
        Damage(
            name: "big-endian", place: 4, bytes: [0, 0, 0, 3],
            expected:
                ", version: expected 2 or 3, found a big-endian file. Convert the model again with a current converter, for little-endian machines."
        ),
        Damage(
            name: "huge tensor count", place: Layout.tensorCount, bytes: [255, 255, 255, 255, 255, 255, 255, 255],
            expected:
                ", tensor count: expected a count for which there is room in the 176 bytes that follow, found 18446744073709551615. \(changed)"
        ),
        Damage(
            name: "huge key count", place: Layout.keyCount, bytes: [0, 0, 0, 0, 1],
            expected:
                ", metadata count: expected a count for which there is room in the 168 bytes that follow, found 4294967296. \(changed)"
        ),
        Damage(
            name: "long key", place: Layout.keyLength, bytes: [0, 1],
            expected: ", metadata key 0: expected 256 bytes of text, found 160 bytes in the file. \(changed)"),
        Damage(
            name: "no UTF-8", place: Layout.key, bytes: [0xFF],
            expected: ", metadata key 0: expected text in UTF-8, found 1 other bytes. \(changed)"),
        Damage(
            name: "unknown kind", place: Layout.kind, bytes: [13],
            expected: ", k: expected a type from 0 to 12, found 13. \(changed)"),
        Damage(
            name: "rank", place: Layout.rank, bytes: [5],
            expected: ", a: expected at most 4 dimensions, found 5. \(changed)"),
        Damage(
            name: "dimension", place: Layout.columns, bytes: [0, 0, 0, 0, 0, 0, 0, 0x80],
            expected: ", a: expected dimensions from 1 to what fits into memory, found 9223372036854775808. \(changed)"),
        Damage(
            name: "no rows", place: Layout.rows, bytes: [0],
            expected: ", a: expected dimensions from 1 to what fits into memory, found 0. \(changed)"),
        Damage(
            name: "overflow", place: Layout.rows, bytes: [0, 0, 0, 0, 0, 0, 0, 0x40],
            expected: ", a: expected a shape that fits into memory, found [4611686018427387904, 3]. \(changed)"),
        Damage(
            name: "type", place: Layout.type, bytes: [19],
            expected:
                ", a: expected a type that this program runs, found IQ1_S. Get a file of the same model in IQ2_XXS or more bits (\(types))."
        ),
        Damage(
            name: "ternary type", place: Layout.type, bytes: [35],
            expected:
                ", a: expected a type that this program runs, found TQ2_0. The type is for models that were trained in it, which none of this family was. Get one of \(types)."
        ),
        Damage(
            name: "type of NVIDIA", place: Layout.type, bytes: [40],
            expected:
                ", a: expected a type that this program runs, found NVFP4. Get the file in MXFP4, Q4_0 or Q4_K_M, which are as large, or another of \(types)."
        ),
        Damage(
            name: "type of integers", place: Layout.type, bytes: [26],
            expected:
                ", a: expected a type that this program runs, found I32. Get the model in another type: \(types)."
        ),
        Damage(
            name: "unknown type", place: Layout.type, bytes: [139],
            expected:
                ", a: expected a type that this program runs, found type 139. The type is of a fork of llama.cpp, or newer than this program. Get the model in one of \(types)."
        ),
        Damage(
            name: "rows of no whole blocks", place: Layout.type, bytes: [2],
            expected: ", a: expected rows of a multiple of 32 elements, as q4_0 has them, found [2, 3]. \(changed)"),
        Damage(
            name: "offset", place: Layout.offset, bytes: [64],
            expected: ", a: expected offset 0, behind the tensor before it, found 64. \(changed)"),
        Damage(
            name: "duplicate", place: Layout.secondName, bytes: Array("a".utf8),
            expected: ", a: expected every tensor once, found it twice. \(changed)"),
    ]

    @Test(arguments: damages)
    private func refusesDamage(damage: Damage) throws {
        var bytes = try write([("k", .uint32(7))])
        let start = damage.place
        bytes.replaceSubrange(start..<start + damage.bytes.count, with: damage.bytes)
        #expect(message { try read(bytes) } == path + damage.expected)
    }

    @Test(
        arguments: [
            (.uint32(0), "0 (uint32)"), (.uint32(48), "48 (uint32)"), (.uint64(32), "32 (uint64)"),
        ] as [(GGUFValue, String)])
    func refusesAlignments(value: GGUFValue, found: String) throws {
        let bytes = try write([("general.alignment", value)])
        #expect(
            message { try read(bytes) }
                == "\(path), general.alignment: expected a power of two, at most 2^20, as uint32, found \(found). The file was changed. Download or convert it again."
        )
    }

    @Test func refusesKeysTwiceAndDeepNesting() throws {
        let twice = try write([("k", .uint32(7)), ("k", .bool(true))])
        #expect(message { try read(twice) } == "\(path), k: expected every key once, found it twice. \(Self.changed)")
        var value = GGUFValue.array(GGUFArray([] as [String]))
        for _ in 0..<4 { value = .array(GGUFArray(.array, [value])) }
        let deep = try write([("k", value)])
        #expect(
            message { try read(deep) }
                == "\(path), k: expected arrays nested at most 4 deep, found one nested deeper. \(Self.changed)")
    }

    @Test func namesLFSPointersAndFilesThatAreNotThere() throws {
        #expect(
            message { try read(Array("version https://git-lfs.github.com/spec/v1\n".utf8)) }.hasSuffix(
                "found \"vers\". It is a Git LFS pointer: run git lfs pull there."))
        #expect(throws: CheckpointError.self) { try GGUFFile("/nowhere/m.gguf") }
    }

    /// An interrupted write leaves no partial file, and the old file stays.
    @Test func writesWholeFilesOnly() throws {
        let whole = try write()
        do {
            var writer = try GGUFWriter(
                path, metadata: [], tensors: [.init("a", .float32, [1]), .init("b", .float32, [1])])
            try [Float(1)].withUnsafeBytes { try writer.append($0) }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["m.gguf"])
        #expect([UInt8](try Data(contentsOf: URL(filePath: path))) == whole)
        #expect(
            message { try GGUFWriter("/nowhere/m.gguf", metadata: [], tensors: []).finish() }
                == "/nowhere/m.gguf: cannot be written (No such file or directory). Give a path in a directory that exists, with room for the file."
        )
    }
}

/// A model that was split, as llama.cpp's `gguf-split` does it.
struct GGUFShardsTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func write(_ number: Int, of count: Int, as name: String? = nil, stated: Int? = nil, total: Int32 = 2)
        throws
    {
        let path = "\(directory.path)/\(name ?? "m-0000\(number + 1)-of-0000\(count).gguf")"
        var writer = try GGUFWriter(
            path,
            metadata: [
                ("split.no", .uint16(UInt16(stated ?? number))), ("split.count", .uint16(UInt16(count))),
                ("split.tensors.count", .int32(total)),
            ], tensors: [.init("t\(number)", .float32, [1])])
        try [Float(number)].withUnsafeBytes { try writer.append($0) }
        try writer.finish()
    }

    @Test(arguments: [1, 2])
    func opensAllFromAnyOne(number: Int) throws {
        try write(0, of: 2)
        try write(1, of: 2)
        let shards = try GGUFShards("\(directory.path)/m-0000\(number)-of-00002.gguf")
        #expect(shards.path.hasSuffix("m-00001-of-00002.gguf"))
        #expect(shards.floats("t0") == [0] && shards.floats("t1") == [1] && shards.tensor("t2") == nil)
    }

    @Test func refusesIncompleteSets() throws {
        try write(0, of: 3)
        let first = "\(directory.path)/m-00001-of-00003.gguf"
        #expect(
            message { try GGUFShards(first) }
                == "\(first): expected 3 shards, found no m-00002-of-00003.gguf, no m-00003-of-00003.gguf. Download the missing shards."
        )
        try write(0, of: 2, as: "renamed.gguf")
        #expect(
            message { try GGUFShards("\(directory.path)/renamed.gguf") }
                == "\(directory.path)/renamed.gguf, split.count: expected a name that ends in -0000N-of-00002.gguf, found another. Give the shards the names under which they were published."
        )
    }

    @Test func refusesMixedSets() throws {
        let again = "Download the shards again; all must be of one version."
        try write(0, of: 2, total: 3)
        try write(1, of: 2, stated: 0)
        let (first, second) = ("\(directory.path)/m-00001-of-00002.gguf", "\(directory.path)/m-00002-of-00002.gguf")
        #expect(
            message { try GGUFShards(first) }
                == "\(second), split.no: expected shard 1 of 2, counted from 0, found 0 of 2. \(again)")
        try write(1, of: 2)
        #expect(
            message { try GGUFShards(first) }
                == "\(first), split.tensors.count: expected 3 tensors, found 2 in all shards. \(again)")
    }
}
