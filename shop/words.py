"""The words that the seed puts together: categories, what they sell, and who makes it."""

# Each top category with its kind of picture, a line about it, and what each leaf sells.
CATEGORIES: dict[str, tuple[str, str, dict[str, tuple[str, ...]]]] = {
    "Living room": (
        "chair",
        "Seats to sink into, tables to gather round.",
        {
            "Armchairs": ("Armchair", "Lounge Chair", "Reading Chair"),
            "Sofas": ("Sofa", "Loveseat", "Modular Sofa"),
            "Side tables": ("Side Table", "Nesting Table", "Coffee Table"),
            "Shelving": ("Bookcase", "Wall Shelf", "Ladder Shelf"),
            "Rugs": ("Wool Rug", "Runner", "Jute Rug"),
        },
    ),
    "Lighting": (
        "lamp",
        "Warm light for late evenings.",
        {
            "Floor lamps": ("Floor Lamp", "Arc Lamp", "Tripod Lamp"),
            "Table lamps": ("Table Lamp", "Bedside Lamp", "Banker's Lamp"),
            "Pendants": ("Pendant", "Cluster Pendant", "Globe Pendant"),
            "Wall lights": ("Wall Light", "Sconce", "Swing-arm Light"),
            "Candles": ("Candle Holder", "Lantern", "Tealight Set"),
        },
    ),
    "Kitchen": (
        "kettle",
        "Honest tools that get better with use.",
        {
            "Kettles": ("Kettle", "Pour-over Kettle", "Teapot"),
            "Cookware": ("Saucepan", "Casserole", "Skillet"),
            "Knives": ("Chef's Knife", "Paring Knife", "Bread Knife"),
            "Storage jars": ("Storage Jar", "Bread Bin", "Spice Rack"),
            "Coffee": ("Moka Pot", "Hand Grinder", "Filter Stand"),
        },
    ),
    "Dining": (
        "vase",
        "Everything between the table and the toast.",
        {
            "Plates": ("Dinner Plate", "Side Plate", "Serving Platter"),
            "Glasses": ("Tumbler", "Wine Glass", "Carafe"),
            "Cutlery": ("Cutlery Set", "Serving Spoons", "Steak Knives"),
            "Vases": ("Vase", "Bud Vase", "Pitcher"),
            "Table linen": ("Tablecloth", "Napkin Set", "Table Runner"),
        },
    ),
    "Bedroom": (
        "pillow",
        "Linen, wool and feathers for better sleep.",
        {
            "Bed linen": ("Duvet Cover", "Linen Sheet", "Pillowcase Pair"),
            "Pillows": ("Down Pillow", "Cushion", "Bolster"),
            "Throws": ("Throw", "Knitted Blanket", "Quilt"),
            "Nightstands": ("Nightstand", "Bedside Shelf", "Drawer Unit"),
            "Mirrors": ("Round Mirror", "Standing Mirror", "Wall Mirror"),
        },
    ),
    "Bath": (
        "bottle",
        "A small spa, every morning.",
        {
            "Towels": ("Bath Towel", "Hand Towel", "Waffle Towel"),
            "Soaps": ("Hand Soap", "Bar Soap", "Body Wash"),
            "Bath mats": ("Bath Mat", "Cedar Mat", "Cotton Mat"),
            "Baskets": ("Laundry Basket", "Storage Basket", "Wicker Hamper"),
            "Robes": ("Bathrobe", "Kimono Robe", "Slippers"),
        },
    ),
    "Garden": (
        "plant",
        "Green things and what they grow in.",
        {
            "House plants": ("Fiddle Fig", "Monstera", "Rubber Plant"),
            "Pots": ("Planter", "Terracotta Pot", "Hanging Pot"),
            "Garden tools": ("Hand Trowel", "Pruner", "Watering Can"),
            "Seeds": ("Wildflower Seeds", "Herb Seeds", "Salad Seeds"),
            "Garden seats": ("Bench", "Folding Chair", "Hammock"),
        },
    ),
    "Office": (
        "notebook",
        "Paper, pens and a tidy desk.",
        {
            "Notebooks": ("Notebook", "Sketchbook", "Planner"),
            "Pens": ("Fountain Pen", "Rollerball", "Pencil Set"),
            "Desk tidies": ("Desk Tray", "Pen Cup", "Letter Rack"),
            "Desks": ("Writing Desk", "Standing Desk", "Wall Desk"),
            "Bags": ("Satchel", "Document Case", "Tote"),
        },
    ),
    "Audio": (
        "speaker",
        "Sound with room to breathe.",
        {
            "Speakers": ("Bookshelf Speaker", "Floor Speaker", "Studio Monitor"),
            "Headphones": ("Headphones", "Earphones", "Studio Headphones"),
            "Turntables": ("Turntable", "Record Crate", "Slip Mat"),
            "Radios": ("Kitchen Radio", "Travel Radio", "Clock Radio"),
            "Amplifiers": ("Amplifier", "Headphone Amp", "Phono Stage"),
        },
    ),
    "Outdoor": (
        "tent",
        "For weekends that begin with a map.",
        {
            "Tents": ("Trail Tent", "Family Tent", "Tarp"),
            "Sleeping bags": ("Sleeping Bag", "Camp Quilt", "Sleeping Mat"),
            "Rucksacks": ("Day Pack", "Trek Pack", "Dry Bag"),
            "Camp kitchen": ("Camp Stove", "Mess Kit", "Flask"),
            "Lanterns": ("Camp Lantern", "Head Torch", "String Lights"),
        },
    ),
}

# The leaves whose goods look unlike the rest of their room.
PICTURES = {
    "Side tables": "table",
    "Shelving": "shelf",
    "Rugs": "rug",
    "Cookware": "pan",
    "Coffee": "cup",
    "Plates": "plate",
    "Glasses": "cup",
    "Cutlery": "plate",
    "Table linen": "towel",
    "Nightstands": "table",
    "Throws": "towel",
    "Towels": "towel",
    "Bath mats": "rug",
    "Robes": "towel",
    "Baskets": "pan",
    "Garden seats": "chair",
    "Desks": "table",
    "Bags": "bag",
    "Headphones": "headphones",
    "Rucksacks": "bag",
    "Sleeping bags": "pillow",
    "Camp kitchen": "cup",
    "Lanterns": "lamp",
}

STYLES = (
    "Alder", "Aster", "Birch", "Bramble", "Cedar", "Clover", "Dune", "Ember", "Fern", "Fjord",
    "Hazel", "Heath", "Iris", "Juniper", "Kelp", "Larch", "Linden", "Maple", "Meadow", "Mistral",
    "Moss", "Nettle", "Oak", "Olive", "Pebble", "Quarry", "Reed", "Rowan", "Sable", "Sage",
    "Sorrel", "Tansy", "Thistle", "Tundra", "Vale", "Willow", "Wren", "Yarrow",
)  # fmt: skip

BRANDS = (
    "Aldgate", "Bruun", "Castell", "Dovetail", "Estel", "Fenwick", "Graal", "Halden", "Ilmari",
    "Juno & Co", "Kiln", "Lumen", "Mercer", "Noord", "Ostrava", "Pallas", "Quill", "Rivington",
    "Sólheim", "Tamarisk", "Umber", "Verso", "Westray", "Yarrow & Sons",
)  # fmt: skip

MATERIALS = (
    "solid oak", "brushed brass", "stonewashed linen", "recycled aluminium", "hand-thrown clay",
    "vegetable-tanned leather", "organic cotton", "powder-coated steel", "merino wool", "bamboo",
    "borosilicate glass", "cork",
)  # fmt: skip

REVIEWS: dict[int, tuple[tuple[str, str], ...]] = {
    5: (
        ("Even better than the pictures", "Beautifully made, and it feels like it will last."),
        ("Could not be happier", "Arrived quickly, well packed, and does just what it should."),
        ("My new favourite", "I use it every day and smile every time. Bought a second one."),
    ),
    4: (
        ("Very good", "Lovely finish. The colour is a touch darker than I thought it would be."),
        ("Solid", "Good value. One star off because the manual could have been clearer."),
    ),
    3: (("It is fine", "Does the job. I had hoped for a little more at this price."),),
    2: (("Not for me", "Smaller than I expected, and the surface marks easily."),),
    1: (("Came damaged", "One corner was chipped. The exchange took two weeks."),),
}

COUNTRIES = {
    "AL": "Albania", "AR": "Argentina", "AU": "Australia", "AT": "Austria", "BE": "Belgium",
    "BA": "Bosnia and Herzegovina", "BR": "Brazil", "BG": "Bulgaria", "CA": "Canada",
    "CL": "Chile", "CN": "China", "CO": "Colombia", "CR": "Costa Rica", "HR": "Croatia",
    "CY": "Cyprus", "CZ": "Czechia", "DK": "Denmark", "EC": "Ecuador", "EG": "Egypt",
    "EE": "Estonia", "FI": "Finland", "FR": "France", "GE": "Georgia", "DE": "Germany",
    "GH": "Ghana", "GR": "Greece", "HU": "Hungary", "IS": "Iceland", "IN": "India",
    "ID": "Indonesia", "IE": "Ireland", "IL": "Israel", "IT": "Italy", "JP": "Japan",
    "KZ": "Kazakhstan", "KE": "Kenya", "LV": "Latvia", "LT": "Lithuania", "LU": "Luxembourg",
    "MY": "Malaysia", "MT": "Malta", "MX": "Mexico", "MD": "Moldova", "ME": "Montenegro",
    "MA": "Morocco", "NL": "Netherlands", "NZ": "New Zealand", "NG": "Nigeria",
    "MK": "North Macedonia", "NO": "Norway", "PE": "Peru", "PH": "Philippines", "PL": "Poland",
    "PT": "Portugal", "RO": "Romania", "RS": "Serbia", "SG": "Singapore", "SK": "Slovakia",
    "SI": "Slovenia", "ZA": "South Africa", "KR": "South Korea", "ES": "Spain", "SE": "Sweden",
    "CH": "Switzerland", "TH": "Thailand", "TN": "Tunisia", "TR": "Türkiye", "UA": "Ukraine",
    "GB": "United Kingdom", "US": "United States", "UY": "Uruguay", "VN": "Vietnam",
}  # fmt: skip
