import JSONText

/// A set of JSON values: a Boolean combination of schemas, constants and single keywords.
indirect enum Formula: Sendable, Hashable {
    case anything, nothing
    case schema(Int)
    case const(JSONValue)
    case keyword(Keyword)
    case not(Formula)
    case all([Formula])
    case any([Formula])
    /// A superset of another formula's values: its negation excludes nothing.
    case atLeast(Formula)

    /// A keyword, or several that belong together, restricting the values of one kind; values of other kinds match.
    enum Keyword: Sendable, Hashable {
        case types(Set<SchemaKeywords.Kind>)
        /// Length, pattern and format of a string; bounds of a number; `prefixItems` with `items`; `properties` with
        /// `patternProperties` and `additionalProperties`: all as a schema has them.
        case string(Int), number(Int), items(Int), members(Int)
        case itemCount(min: Int, max: Int?)
        case contains(Formula, min: Int, max: Int?)
        case uniqueItems(place: String)
        case required([String])
        case absent(String)
        case memberCount(min: Int, max: Int?)
        case names(Formula)
    }

    static func conjunction(_ formulas: [Formula]) -> Formula {
        var parts: [Formula] = []
        for formula in formulas {
            switch formula {
            case .anything: continue
            case .nothing: return .nothing
            case .all(let inner): for part in inner where !parts.contains(part) { parts.append(part) }
            default: if !parts.contains(formula) { parts.append(formula) }
            }
        }
        return parts.isEmpty ? .anything : parts.count == 1 ? parts[0] : .all(parts)
    }

    static func disjunction(_ formulas: [Formula]) -> Formula {
        var parts: [Formula] = []
        for formula in formulas {
            switch formula {
            case .nothing: continue
            case .anything: return .anything
            case .any(let inner): for part in inner where !parts.contains(part) { parts.append(part) }
            default: if !parts.contains(formula) { parts.append(formula) }
            }
        }
        return parts.isEmpty ? .nothing : parts.count == 1 ? parts[0] : .any(parts)
    }

    var negated: Formula {
        switch self {
        case .anything: .nothing
        case .nothing: .anything
        case .not(let inner): inner
        case .atLeast: .anything
        default: .not(self)
        }
    }
}
