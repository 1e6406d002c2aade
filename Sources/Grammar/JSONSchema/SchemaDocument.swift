import Foundation
import JSONText

/// A JSON Schema document: all its schemas by JSON pointer, `$id` and anchor.
///
/// Source: JSON Schema 2020-12, Core, sections 8 and 9.
struct SchemaDocument: Sendable {
    struct Place: Sendable {
        /// JSON pointer from the root of the document.
        let pointer: String
        let value: JSONValue
        /// The base URI of its references.
        let base: String
    }

    private(set) var places: [Place] = []
    private var byPointer: [String: Int] = [:]
    private var resources: [String: Int] = [:]
    private var anchors: [String: Int] = [:]
    private static let defaultBase = "https://schema.invalid/"

    private static let single: Set<String> = [
        "items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else", "unevaluatedItems",
        "unevaluatedProperties",
    ]
    private static let lists: Set<String> = ["allOf", "anyOf", "oneOf", "prefixItems"]
    private static let maps: Set<String> = [
        "properties", "patternProperties", "$defs", "definitions", "dependentSchemas",
    ]

    init(_ root: JSONValue) {
        resources[Self.defaultBase] = 0
        add(root, "", Self.defaultBase)
    }

    private mutating func add(_ value: JSONValue, _ pointer: String, _ base: String) {
        var base = base
        let index = places.count
        if let id = value["$id"]?.string {
            base = Self.join(base, id)
            resources[Self.withoutFragment(base)] = index
        }
        byPointer[pointer] = index
        places.append(Place(pointer: pointer, value: value, base: Self.withoutFragment(base)))
        for keyword in ["$anchor", "$dynamicAnchor"] {
            if let anchor = value[keyword]?.string { anchors[Self.withoutFragment(base) + "#" + anchor] = index }
        }
        guard case .object(let members) = value else { return }
        for member in members {
            let place = pointer + "/" + Self.escape(member.key)
            if Self.single.contains(member.key) {
                add(member.value, place, base)
            } else if Self.lists.contains(member.key), case .array(let values) = member.value {
                for (index, value) in values.enumerated() { add(value, "\(place)/\(index)", base) }
            } else if Self.maps.contains(member.key), case .object(let inner) = member.value {
                for schema in inner { add(schema.value, place + "/" + Self.escape(schema.key), base) }
            }
        }
    }

    /// The schema at a pointer.
    func index(_ pointer: String) -> Int? { byPointer[pointer] }

    /// The schema that a `$ref` refers to.
    ///
    /// - Returns: nil if it is not within this document.
    mutating func resolve(_ reference: String, from place: Place) -> Int? {
        let parts = reference.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        let uri = parts[0].isEmpty ? place.base : Self.withoutFragment(Self.join(place.base, String(parts[0])))
        guard let resource = resources[uri] else { return nil }
        guard parts.count == 2, !parts[1].isEmpty else { return resource }
        guard let fragment = String(parts[1]).removingPercentEncoding else { return nil }
        guard fragment.hasPrefix("/") else { return anchors[uri + "#" + fragment] }
        let pointer = places[resource].pointer + fragment
        if let index = byPointer[pointer] { return index }
        // A place that is not a schema by its keyword counts as one if a reference points to it.
        var value = places[resource].value
        for part in fragment.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
            let key = String(part).replacing("~1", with: "/").replacing("~0", with: "~")
            switch value {
            case .object:
                guard let next = value[key] else { return nil }
                value = next
            case .array(let values):
                guard let index = Int(key), values.indices.contains(index) else { return nil }
                value = values[index]
            default: return nil
            }
        }
        let index = places.count
        add(value, pointer, uri)
        return index
    }

    static func escape(_ key: String) -> String { key.replacing("~", with: "~0").replacing("/", with: "~1") }

    private static func join(_ base: String, _ reference: String) -> String {
        URL(string: reference, relativeTo: URL(string: base))?.absoluteString ?? reference
    }

    private static func withoutFragment(_ uri: String) -> String { String(uri.prefix { $0 != "#" }) }
}
