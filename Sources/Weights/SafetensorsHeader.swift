import JSONText
import Tensors

/// The tensors that the header of a safetensors file lists; fully validated, so that any entry can be read.
///
/// The file: 8 bytes, little-endian, the length n of the header; n bytes of JSON that map each name to
/// `{"dtype": "BF16", "shape": […], "data_offsets": [begin, end]}`; the data, to which the offsets are relative.
/// Source: github.com/huggingface/safetensors, `README.md`, "Format", and `tensor.rs` (limit, no gaps, no overlaps).
struct SafetensorsHeader: Sendable {
    struct Entry: Sendable, Hashable {
        /// As spelled in the file.
        let dtype: String
        /// Nil for integers, whose meaning the checkpoint's configuration states.
        let elementType: ElementType?
        let shape: [Int]
        /// The byte range in the file.
        let range: Range<Int>
    }

    /// The reference rejects longer headers.
    static let byteLimit = 100_000_000

    let entries: [String: Entry]

    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - path: for messages.
    /// - Throws: `CheckpointError` if the header is invalid or contradicts the file.
    init(_ bytes: UnsafeRawBufferPointer, path: String) throws(CheckpointError) {
        guard bytes.count >= 8 else {
            throw Self.invalid(path, expected: "at least 8 bytes", found: "\(bytes.count)")
        }
        guard !bytes.starts(with: "version https://git-lfs".utf8) else {
            throw CheckpointError(
                .invalidHeader, file: path, expected: "the weights", found: "a Git LFS pointer to them",
                remedy: "Run git lfs pull in that directory.")
        }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length <= Self.byteLimit else {
            throw Self.invalid(path, expected: "a header of at most \(Self.byteLimit) bytes", found: "\(length)")
        }
        guard length <= bytes.count - 8 else {
            throw Self.invalid(
                path, expected: "a header of \(length) bytes", found: "\(bytes.count - 8) bytes after its length")
        }
        let dataStart = 8 + Int(length)
        let json: JSONValue
        do {
            json = try JSONValue(parsing: Array(bytes[8..<dataStart]))
        } catch {
            let place = "header, line \(error.line), column \(error.column)"
            throw Self.invalid(path, place: place, expected: error.expected, found: error.found)
        }
        guard case .object(let members) = json else {
            throw Self.invalid(path, place: "header", expected: "an object", found: json.summary)
        }
        var entries: [String: Entry] = [:]
        entries.reserveCapacity(members.count)
        for member in members where member.key != "__metadata__" {
            let name = member.key
            entries[name] = try Self.entry(
                member.value, name: name, path: path, dataStart: dataStart, byteCount: bytes.count)
        }
        try Self.checkCoverage(entries, path: path, data: dataStart..<bytes.count)
        self.entries = entries
    }

    private static func entry(
        _ json: JSONValue, name: String, path: String, dataStart: Int, byteCount: Int
    ) throws(CheckpointError) -> Entry {
        func invalid(expected: String, found: String, remedy: String = downloadAgain) -> CheckpointError {
            CheckpointError(.invalidTensor, file: path, place: name, expected: expected, found: found, remedy: remedy)
        }
        guard case .string(let type)? = json["dtype"], case .array(let sizes)? = json["shape"],
            case .array(let ends)? = json["data_offsets"]
        else { throw invalid(expected: "an object with dtype, shape and data_offsets", found: json.summary) }

        let elementType = ElementType(safetensors: type)
        guard var size = elementType?.byteCount(1) ?? Self.integerByteCounts[type] else {
            throw CheckpointError(unsupported: type, file: path, place: name)
        }
        var shape: [Int] = []
        for value in sizes {
            guard case .integer(let length) = value, length >= 0 else {
                throw invalid(expected: "a shape of integers >= 0", found: value.summary)
            }
            let (product, overflow) = size.multipliedReportingOverflow(by: length)
            guard !overflow else {
                throw invalid(expected: "a shape that fits into memory", found: "\(sizes.map(\.summary))")
            }
            size = product
            shape.append(length)
        }
        guard ends.count == 2, case .integer(let begin) = ends[0], case .integer(let end) = ends[1], 0 <= begin,
            begin <= end
        else {
            throw invalid(expected: "data_offsets [begin, end] with 0 <= begin <= end", found: "\(ends.map(\.summary))")
        }
        guard end <= byteCount - dataStart else {
            throw invalid(
                expected: "data up to byte \(end)",
                found: "\(byteCount - dataStart) bytes of data: the file is cut short")
        }
        guard end - begin == size else {
            throw invalid(expected: "\(size) bytes for \(type) \(shape)", found: "\(end - begin)")
        }
        return Entry(dtype: type, elementType: elementType, shape: shape, range: dataStart + begin..<dataStart + end)
    }

    /// Bytes per element of the integer types that occur in quantized checkpoints.
    private static let integerByteCounts = ["U8": 1, "I8": 1, "I32": 4, "I64": 8]

    /// Checks that every byte of the data belongs to exactly one tensor, as the format requires.
    private static func checkCoverage(_ entries: [String: Entry], path: String, data: Range<Int>)
        throws(CheckpointError)
    {
        var end = data.lowerBound
        let ordered = entries.sorted {
            ($0.value.range.lowerBound, $0.value.range.upperBound, $0.key)
                < ($1.value.range.lowerBound, $1.value.range.upperBound, $1.key)
        }
        for (name, entry) in ordered {
            guard entry.range.lowerBound == end else {
                throw CheckpointError(
                    .invalidTensor, file: path, place: name,
                    expected: "data from byte \(end - data.lowerBound) on, where the tensor before it ends",
                    found: "\(entry.range.lowerBound - data.lowerBound)", remedy: downloadAgain)
            }
            end = entry.range.upperBound
        }
        guard end == data.upperBound else {
            throw invalid(
                path, expected: "\(end - data.lowerBound) bytes of data",
                found: "\(data.count): some belong to no tensor")
        }
    }

    private static let downloadAgain = "Download the file again."

    private static func invalid(_ path: String, place: String? = nil, expected: String, found: String)
        -> CheckpointError
    {
        CheckpointError(
            .invalidHeader, file: path, place: place, expected: expected, found: found,
            remedy: "The file is no safetensors file, or was cut or changed. \(downloadAgain)")
    }
}

extension CheckpointError {
    /// A tensor of an unsupported dtype.
    init(unsupported dtype: String, file: String, place: String) {
        self.init(
            .invalidTensor, file: file, place: place, expected: "dtype BF16, F16 or F32", found: "\"\(dtype)\"",
            remedy: "This program runs the published, unquantised weights.")
    }
}

extension ElementType {
    /// The element type of a dtype of safetensors; nil for other dtypes.
    init?(safetensors name: String) {
        switch name {
        case "F32": self = .float32
        case "BF16": self = .bfloat16
        case "F16": self = .float16
        default: return nil
        }
    }
}
