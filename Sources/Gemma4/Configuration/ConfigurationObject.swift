import JSONText
import Weights

/// One object of a configuration file, read key by key: every error names the file, the path of keys and the remedy.
///
/// A null value counts as absent, as in the reference.
struct ConfigurationObject {
    let file: String
    let path: String  // of keys; empty for the whole file
    private let members: [JSONValue.Member]
    /// Maps a path of keys to the place in `file` where its value comes from, if the file is not JSON; nil if it is.
    private let origins: [String: String]?

    /// Valid widths and counts: enough for any model of the family, and neither the products that occur in shapes nor
    /// their sum over all layers overflow an Int.
    static let widths = 1...262_144
    static let headCounts = 1...4_096
    static let headSizes = 1...16_384
    static let layerCounts = 1...4_096
    static let vocabularySizes = 1...16_777_216
    static let tokenIds = 0...Int(Int32.max)

    /// - Throws: `CheckpointError` if the file cannot be read or is not a JSON object.
    init(contentsOf file: String) throws(CheckpointError) {
        guard case .object(let members) = try JSONValue(contentsOf: file) else {
            throw CheckpointError(.invalidValue, file: file, expected: "an object", found: "another JSON value")
        }
        self.init(file: file, path: "", members: members)
    }

    init(file: String, path: String, members: [JSONValue.Member], origins: [String: String]? = nil) {
        self.file = file
        self.path = path
        self.members = members
        self.origins = origins
    }

    // MARK: Required values

    func integer(_ key: String, in range: ClosedRange<Int> = widths) throws(CheckpointError) -> Int {
        guard let value = try integerIfPresent(key, in: range) else { throw missing(key) }
        return value
    }

    func number(_ key: String, above bound: Double = -.infinity) throws(CheckpointError) -> Double {
        guard let value = try numberIfPresent(key, above: bound) else { throw missing(key) }
        return value
    }

    func object(_ key: String) throws(CheckpointError) -> ConfigurationObject {
        guard let value = try objectIfPresent(key) else { throw missing(key) }
        return value
    }

    func array<Element>(_ key: String, _ element: (JSONValue) -> Element?) throws(CheckpointError) -> [Element] {
        guard let value = value(key) else { throw missing(key) }
        guard case .array(let values) = value else { throw invalid(key, expected: "an array", found: value) }
        var elements: [Element] = []
        for (index, value) in values.enumerated() {
            guard let element = element(value) else {
                throw invalid("\(key)[\(index)]", expected: "another kind of value", found: value)
            }
            elements.append(element)
        }
        return elements
    }

    // MARK: Optional values

    func integerIfPresent(_ key: String, in range: ClosedRange<Int> = widths) throws(CheckpointError) -> Int? {
        guard let value = value(key) else { return nil }
        guard case .integer(let integer) = value, range.contains(integer) else {
            throw invalid(key, expected: "an integer from \(range.lowerBound) to \(range.upperBound)", found: value)
        }
        return integer
    }

    func numberIfPresent(_ key: String, above bound: Double = -.infinity) throws(CheckpointError) -> Double? {
        try numberIfPresent(key, expected: bound == -.infinity ? "a number" : "a number above \(bound)") { $0 > bound }
    }

    func numberIfPresent(_ key: String, in range: ClosedRange<Double>) throws(CheckpointError) -> Double? {
        try numberIfPresent(key, expected: "a number from \(range.lowerBound) to \(range.upperBound)") {
            range.contains($0)
        }
    }

    private func numberIfPresent(
        _ key: String, expected: String, where holds: (Double) -> Bool
    ) throws(CheckpointError) -> Double? {
        guard let value = value(key) else { return nil }
        let number: Double? =
            switch value {
            case .integer(let value): Double(value)
            case .number(let value): value
            default: nil
            }
        guard let number, holds(number) else { throw invalid(key, expected: expected, found: value) }
        return number
    }

    func flag(_ key: String, default absent: Bool) throws(CheckpointError) -> Bool {
        guard let value = value(key) else { return absent }
        guard case .boolean(let flag) = value else { throw invalid(key, expected: "true or false", found: value) }
        return flag
    }

    func stringIfPresent(_ key: String) throws(CheckpointError) -> String? {
        guard let value = value(key) else { return nil }
        guard case .string(let string) = value else { throw invalid(key, expected: "a string", found: value) }
        return string
    }

    func objectIfPresent(_ key: String) throws(CheckpointError) -> ConfigurationObject? {
        guard let value = value(key) else { return nil }
        guard case .object(let members) = value else { throw invalid(key, expected: "an object", found: value) }
        return ConfigurationObject(file: file, path: configPath(key), members: members, origins: origins)
    }

    /// One token id or a list of them; empty if absent.
    func tokenIds(_ key: String) throws(CheckpointError) -> [Int] {
        guard case .array(let values)? = value(key) else {
            return try integerIfPresent(key, in: Self.tokenIds).map { [$0] } ?? []
        }
        var ids: [Int] = []
        for value in values {
            guard case .integer(let id) = value, Self.tokenIds.contains(id) else {
                throw invalid(key, expected: "token ids", found: value)
            }
            ids.append(id)
        }
        return ids
    }

    /// Rejects any value other than `only`, the supported one, which is also the default.
    func require(_ key: String, only: String) throws(CheckpointError) {
        let value = try stringIfPresent(key) ?? only
        guard value == only else { throw invalid(key, expected: "\"\(only)\"", found: .string(value)) }
    }

    // MARK: Errors

    func missing(_ key: String) -> CheckpointError {
        CheckpointError(
            .missingKey, file: file, place: keyPath(key), expected: "a value", found: "none",
            remedy: origins == nil
                ? "Use the \(fileName) published beside these weights; a guess would be another model."
                : GGUFConfiguration.remedy)
    }

    func invalid(_ key: String, expected: String, found: JSONValue) -> CheckpointError {
        invalid(key, expected: expected, found: found.summary)
    }

    func invalid(_ key: String, expected: String, found: String) -> CheckpointError {
        CheckpointError(
            .invalidValue, file: file, place: keyPath(key), expected: expected, found: found,
            remedy: origins == nil
                ? "Use the \(fileName) published beside these weights." : GGUFConfiguration.remedy)
    }

    /// Including keys with null values.
    var keys: [String] { members.map(\.key) }

    func value(_ key: String) -> JSONValue? {
        let value = JSONValue.object(members)[key]
        return value == .null ? nil : value
    }

    func keyPath(_ key: String) -> String { origins?[configPath(key)] ?? configPath(key) }

    private func configPath(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    private var fileName: Substring { file.split(separator: "/").last ?? "" }
}
