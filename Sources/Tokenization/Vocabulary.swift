/// The pieces of a vocabulary by id, and ids by piece.
///
/// Pieces are compared by their UTF-8 bytes: 434 pieces of the published vocabulary are canonically equivalent to
/// another one, and would vanish as keys of a Swift `Dictionary<String, _>`.
struct Vocabulary: Sendable {
    private var bytes: [UInt8] = []
    private var places: [Place] = []  // by id
    private var slots: [Slot]  // open addressing
    private let mask: Int

    /// Where a piece lies in `bytes`.
    fileprivate struct Place {
        var start: Int32 = 0
        var length: Int32 = -1  // no such id
    }

    /// An id with half its piece's hash, so that most other pieces are passed over unread.
    private struct Slot {
        var id: Int32 = -1  // empty
        var tag: UInt32 = 0
    }

    /// - Parameter count: pieces expected, so that the table does not grow.
    init(expecting count: Int) {
        let capacity = max(16, (count * 2).nextPowerOfTwo)
        slots = Array(repeating: Slot(), count: capacity)
        mask = capacity - 1
        places.reserveCapacity(count)
    }

    /// One past the greatest id.
    var count: Int { places.count }

    func piece(_ id: Int) -> ArraySlice<UInt8>? {
        guard places.indices.contains(id), places[id].length >= 0 else { return nil }
        return bytes[places[id]]
    }

    func id(_ piece: some Collection<UInt8>) -> Int? {
        let slot = self.slot(Self.hash(piece)) { piece.elementsEqual($0) }
        return slots[slot].id < 0 ? nil : Int(slots[slot].id)
    }

    /// The id of `left` followed by `right`.
    func id(joining left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>) -> Int? {
        let slot = self.slot(Self.hash(right, after: Self.hash(left))) {
            $0.count == left.count + right.count && $0.starts(with: left) && $0.suffix(right.count).elementsEqual(right)
        }
        return slots[slot].id < 0 ? nil : Int(slots[slot].id)
    }

    enum Insertion { case added, duplicateId, duplicatePiece }

    /// - Precondition: 0 <= id, and fewer pieces than expected have been added.
    mutating func insert(_ piece: some Collection<UInt8>, id: Int) -> Insertion {
        if id < places.count, places[id].length >= 0 { return .duplicateId }
        let hash = Self.hash(piece)
        let slot = self.slot(hash) { piece.elementsEqual($0) }
        guard slots[slot].id < 0 else { return .duplicatePiece }
        while places.count <= id { places.append(Place()) }
        places[id] = Place(start: Int32(bytes.count), length: Int32(piece.count))
        bytes.append(contentsOf: piece)
        slots[slot] = Slot(id: Int32(id), tag: Self.tag(hash))
        return .added
    }

    /// FNV-1a, 64 bits.
    private static func hash(_ piece: some Collection<UInt8>, after start: UInt64 = 0xcbf2_9ce4_8422_2325) -> UInt64 {
        piece.reduce(start) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    }

    private static func tag(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash >> 32) }

    /// The slot that holds the piece of this hash, or the empty one where it belongs.
    private func slot(_ hash: UInt64, matches: (ArraySlice<UInt8>) -> Bool) -> Int {
        var slot = Int(truncatingIfNeeded: hash ^ (hash >> 32)) & mask
        let tag = Self.tag(hash)
        while slots[slot].id >= 0, slots[slot].tag != tag || !matches(bytes[places[Int(slots[slot].id)]]) { slot = (slot + 1) & mask }
        return slot
    }
}

extension [UInt8] {
    fileprivate subscript(place: Vocabulary.Place) -> ArraySlice<UInt8> {
        self[Int(place.start)..<Int(place.start) + Int(place.length)]
    }
}

extension Int {
    var nextPowerOfTwo: Int { self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount) }
}
