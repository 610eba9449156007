"""The words of the simulated store: departments, leaf categories, products, what people call them, missions.

Tables only; `bazaar_catalogue` turns them into items and `bazaar_queries` into searches. A word after a
colon is what shoppers type instead of the word before it; titles never use it. The name of a product,
its synonyms and the vague words of a category are unique in the whole store, so that a query says
exactly which items it fits.

One category per line: name | kind of size | products | materials | features | vague words.
"""

from __future__ import annotations

DEPARTMENTS = {
    "Kitchen": """
Coffee Makers | capacity | espresso machine:coffee maker,barista machine; burr grinder:coffee mill,bean grinder; pour over dripper:coffee cone,filter brewer; gooseneck kettle:pouring pot,slow pour kettle | stainless steel:metal, borosilicate glass:glass, brushed aluminium:alu, ceramic:porcelain | milk frother:foam, pressure gauge:manometer, programmable timer:auto start, removable tank:easy fill, thermometer:temperature | coffee gear, coffee setup
Cookware | diameter | frying pan:skillet,egg pan; stockpot:soup pot,big pot; saucepan:milk pot,small pot; wok:stir fry pan,asian pan | cast iron:iron, copper:coppery, stainless steel:metal, hard anodised aluminium:non stick | glass lid:see through lid, induction base:induction, stay cool handle:cool grip, pouring lip:easy pour, oven safe grip:oven proof | pots and pans, cooking set
Bakeware | diameter | springform tin:cake pan,cheesecake mould; loaf tin:bread pan,banana bread tin; muffin tray:cupcake pan,bun tin; rolling pin:dough roller,pastry roller | silicone:flexible, carbon steel:metal, stoneware:ceramic, beech wood:wooden | non stick coating:easy release, leakproof rim:no leak, measuring marks:scale, carry lid:lid, deep edge:deep | baking stuff, baking set
Knives & Boards | length | chef's knife:kitchen knife,cooks knife; paring knife:peeling knife,fruit knife; cutting board:chopping block,carving board; knife sharpener:whetstone,blade sharpener | damascus steel:japanese, acacia wood:wooden, olive wood:wood, high carbon steel:carbon | full tang handle:full tang, juice groove:drip edge, magnetic stand:holder, finger guard:safe, hammered blade:hammered | sharp kitchen tools, cutting set
Small Appliances | capacity | stand mixer:dough machine,kitchen mixer; immersion blender:stick blender,hand blender; toaster oven:mini oven,countertop oven; food processor:chopper,vegetable cutter | stainless steel:metal, glass:clear, die cast metal:heavy, matte plastic:light | pulse mode:pulse, dough hook:bread dough, digital display:digital, dishwasher safe parts:dishwasher safe, quiet motor:silent | kitchen machine, kitchen gadget
Mugs & Glasses | capacity | cappuccino cup:coffee cup,latte cup; travel mug:to go cup,thermos cup; water tumbler:drinking glass,juice glass; teapot:tea jug,tea pitcher | porcelain:china, double wall glass:clear, stoneware:pottery, enamel:camping | saucer:plate, spill proof lid:leak proof, infuser basket:strainer, hand painted rim:hand made, stackable shape:stacking | drinkware, cups
""",
    "Home": """
Bedding | bed | duvet cover:quilt cover,comforter cover; weighted blanket:heavy blanket,calming blanket; memory pillow:neck pillow,orthopedic pillow; fitted sheet:bed sheet,mattress sheet | washed linen:flax, organic cotton:cotton, bamboo viscose:bamboo, brushed flannel:warm | hidden zip:zipper, cooling fabric:cool, corner ties:no slip, deep pockets:extra deep, quilted surface:quilted | bed things, bedroom textiles
Lighting | height | reading lamp:bedside light,book light; floor lamp:standing light,corner light; pendant light:ceiling lamp,hanging lamp; fairy lights:string lights,led chain | rattan:wicker, smoked glass:glass, brass:gold, paper:rice paper | dimmer:dimmable, touch switch:touch, warm white bulb:warm, remote control:remote, usb port:usb | lamps, mood lighting
Storage | dimension | shelf basket:woven box,laundry bin; under bed box:bed drawer,clothes box; shoe rack:shoe shelf,shoe stand; pantry jar:food container,cereal keeper | seagrass:woven, powder coated steel:metal, bamboo:wood, recycled felt:fabric | lid:cover, wheels:rolling, label window:labels, folding frame:foldable, airtight seal:airtight | organiser, declutter
Rugs & Cushions | dimension | area rug:carpet,living room mat; throw pillow:sofa cushion,couch pillow; floor pouf:footstool,ottoman; throw blanket:sofa blanket,plaid | wool:woolen, jute:natural fibre, velvet:soft, cotton chenille:cotton | anti slip backing:non slip, tassels:fringe, removable cover:washable, reversible pattern:two sided, extra filling:fluffy | living room decor, cosy home
Cleaning | pack | cordless vacuum:hoover,stick vac; spray mop:floor wiper,wet mop; lint roller:fluff remover,hair roller; enzyme cleaner:stain remover,odour spray | microfibre:cloth, recycled plastic:plastic, bamboo:wood, plant based formula:non toxic | hepa filter:allergy, wall mount:hanging, refillable bottle:refill, extendable pole:telescopic, pet brush:fur | household cleaning, spring clean
Bath | dimension | bath towel:shower towel,big towel; bath mat:shower mat,bathroom rug; shower caddy:shower shelf,corner shelf; bath salts:bath soak,epsom salt | waffle cotton:waffle, turkish cotton:terry, diatomite:stone, teak:wood | hanging loop:hook, quick dry weave:fast drying, suction cups:no drilling, lavender scent:lavender, non slip feet:anti slip | bathroom things, spa at home
""",
    "Baby": """
Strollers & Carriers | age | jogging stroller:buggy,running pram; travel stroller:cabin pushchair,umbrella stroller; baby carrier:baby sling,front pack; ring wrap:newborn wrap,cloth carrier | ripstop polyester:waterproof, organic cotton:cotton, aluminium frame:light, mesh:breathable | sun canopy:sun shade, one hand fold:quick fold, lumbar support:back support, rain cover:rain, cup holder:bottle holder | newborn transport, pram stuff
Baby Feeding | pack | baby bottle:milk bottle,newborn bottle; suction bowl:toddler bowl,no spill bowl; high chair:feeding chair,baby seat; silicone bib:baby apron,catch bib | food grade silicone:silicone, glass:heat proof, beech wood:wooden, bamboo fibre:bamboo | anti colic valve:colic, catch pocket:crumb tray, adjustable footrest:adjustable, snap lid:lid, wide neck:wide | weaning set, baby mealtime
Nursery | dimension | cot mattress:crib mattress,baby mattress; baby monitor:baby phone,babycam; night light:sleep lamp,nursery lamp; swaddle bag:baby sleep sack,sleeping sack | muslin:gauze, breathable foam:airy, pine wood:wooden, organic jersey:jersey | white noise:sound machine, two way zip:zip, cry alert:alarm, washable cover:washable, star projector:stars | baby room, nursery setup
Changing | pack | changing mat:diaper pad,changing pad; nappy bag:diaper bag,mum bag; cloth nappy:reusable diaper,washable diaper; baby wipes:wet wipes,bum wipes | vegan leather:leather, bamboo terry:bamboo, oilcloth:wipeable, recycled polyester:recycled | insulated pocket:bottle pocket, stroller straps:clips, snap buttons:adjustable, leak guard:no leak, fragrance free care:sensitive | diaper stuff, newborn basics
Baby Toys | age | teething ring:teether,chew toy baby; stacking rings:stacker,ring tower; play mat:activity gym,crawl mat; rattle:shaker,grab toy | natural rubber:rubber, maple wood:wooden, organic plush:soft, food grade silicone:silicone | crinkle sound:crinkle, mirror:baby mirror, easy grip:grabbing, hanging toys:arch, rounded edges:safe | gift for baby, newborn toys
Child Safety | pack | stair gate:baby gate,door barrier; cabinet lock:drawer lock,cupboard latch; corner guards:edge protector,table bumpers; bath thermometer:water thermometer,bath temperature | powder coated steel:metal, soft foam:foam, tempered plastic:plastic, beech wood:wooden | no drill mount:no screws, auto close:self closing, strong adhesive:sticky, double lock:two step, led display:digital | baby proofing, toddler safe home
""",
    "Sports": """
Running | shoe | trail running shoes:off road trainers,mountain runners; hydration vest:running backpack,water vest; running belt:phone belt,waist pouch; gps watch:running watch,sports watch | recycled mesh:mesh, ripstop nylon:light, knitted polyester:knit, tpu:rubber | rock plate:stone protection, reflective trim:visible at night, soft flasks:bottles, wide toe box:wide feet, heart rate sensor:pulse | jogging stuff, run gear
Yoga & Pilates | thickness | yoga mat:exercise mat,gym mat; cork block:yoga brick,foam block; meditation cushion:zafu,sitting pillow; pilates ring:magic circle,toning ring | natural rubber:rubber, cork:natural, organic cotton:cotton, buckwheat filling:buckwheat | alignment lines:lines, carry strap:strap, non slip texture:grip, washable cover:washable, extra cushioning:thick | stretching gear, yoga set
Cycling | bike | bike helmet:cycle hat,road helmet; pannier bag:rack bag,saddle bag; bike light set:cycle lamp,front and rear light; floor pump:tyre pump,air pump bike | polycarbonate:hard shell, waxed canvas:canvas, aluminium:alu, waterproof tarpaulin:waterproof | rear light:led, quick release:click on, pressure dial:gauge, usb charging:rechargeable, ventilation channels:airy | bike stuff, commuting by bike
Swimming | body | swim goggles:swimming glasses,pool goggles; wetsuit:neoprene suit,open water suit; swim cap:bathing cap,pool hat; pull buoy:leg float,swim float | silicone:soft, neoprene:thermal, polycarbonate:clear, chlorine proof fabric:chlorine | mirrored lenses:tinted, anti fog coating:no fog, long hair fit:long hair, smooth skin panels:fast, adjustable strap:adjustable | pool stuff, swim kit
Strength Training | load | kettlebell:swing weight,iron bell; adjustable dumbbells:hand weights,free weights; resistance bands:stretch bands,fitness bands; pull up bar:chin up bar,door bar | cast iron:iron, natural latex:rubber, neoprene:soft, chromed steel:steel | knurled grip:grip, door anchor:door, quick lock collar:quick change, padded handles:foam, flat base:stable | home workout, gym equipment
Team Sports | ball | match football:soccer ball,training ball; shin guards:leg pads,shin pads; goalkeeper gloves:keeper gloves,goalie gloves; pop up goal:football net,mini goal | thermo bonded leather:leather, latex foam:latex, eva foam:foam, weatherproof nylon:weather proof | finger support:finger save, carry bag:bag, ankle sleeves:ankle, training cones:cones, low bounce core:indoor | football training, kids sport
""",
    "Outdoor": """
Tents | persons | dome tent:igloo tent,camping tent; tunnel tent:family tent,group tent; tarp:rain fly,sun sail; bivy bag:one man shelter,bivvy | ripstop nylon:light, polycotton:cotton, silnylon:silicone, recycled polyester:recycled | vestibule:porch, aluminium poles:alu poles, blackout cabin:dark, taped seams:waterproof, snow skirt:four season | shelter, camping stuff
Sleeping Gear | temperature | sleeping bag:mummy bag,camping quilt; inflatable mat:air pad,sleep pad; camping pillow:blow up pillow,travel cushion; hammock:hanging bed,tree bed | goose down:down, recycled synthetic:synthetic, merino:wool, ripstop nylon:light | draft collar:winter, built in pump:self inflating, insulated core:warm, compression sack:small pack, bug net:mosquito | sleep outdoors, bed for camping
Backpacks | volume | trekking backpack:hiking rucksack,touring pack; daypack:small rucksack,day bag; dry bag:waterproof sack,roll bag; chest pack:front bag,sternum bag | ripstop nylon:light, dyneema:ultralight, waxed canvas:canvas, recycled polyester:recycled | rain cover:rain, hip belt:waist belt, mesh back:ventilated, roll top:rolltop, trekking pole loops:pole holder | rucksack stuff, hiking gear
Camp Kitchen | persons | gas stove:camping cooker,burner; camp cookset:mess kit,trail pots; spork:camping cutlery,fork spoon; water filter:water purifier,stream filter | titanium:titan, hard anodised aluminium:alu, stainless steel:metal, food grade silicone:collapsible | piezo ignition:lighter, wind shield:windproof, folding handles:foldable, nesting design:nested, measuring scale:marks | cooking outdoors, trail kitchen
Climbing | rope | climbing harness:sit harness,belay harness; chalk bag:magnesia bag,chalk pouch; belay device:belayer,safety brake; climbing rope:dynamic rope,lead rope | nylon webbing:nylon, forged aluminium:alu, recycled polyester:recycled, fleece lining:fleece | gear loops:loops, dry treatment:dry, assisted braking:assisted, middle mark:marked, brush holder:brush | crag gear, bouldering set
Fishing | length | spinning rod:fishing pole,casting rod; tackle box:lure box,bait case; landing net:fish net,scoop net; fishing reel:casting reel,line winder | carbon fibre:carbon, fibreglass:glass fibre, rubberised mesh:rubber, machined aluminium:alu | telescopic handle:telescopic, removable dividers:dividers, line counter:counter, salt water seal:sea, folding frame:foldable | angling gear, fishing set
""",
    "Electronics": """
Headphones | battery | over ear headphones:big headphones,cans; wireless earbuds:bluetooth earphones,in ears; sport headphones:neckband earphones,gym earphones; headphone stand:headset holder,earphone hanger | memory foam:soft, aluminium:metal, vegan leather:leather, silicone:rubber | noise cancelling:anc, charging case:case, microphone:mic, ear hooks:hooks, low latency mode:no lag | music on the go, audio
Cameras | optics | mirrorless camera:system camera,digicam; camera tripod:photo stand,stativ; prime lens:portrait lens,fixed lens; camera strap:neck strap,shoulder sling | magnesium alloy:metal, carbon fibre:carbon, optical glass:glass, full grain leather:leather | image stabiliser:stabilized, flip screen:vlog, weather sealing:weather proof, quick release plate:quick release, fast autofocus:fast | photo gear, photography kit
Computer Accessories | port | mechanical keyboard:typing board,clicky keyboard; ergonomic mouse:vertical mouse,wrist mouse; laptop stand:notebook riser,computer stand; usb hub:port adapter,docking station | anodised aluminium:alu, bamboo:wood, recycled plastic:plastic, walnut:wooden | hot swap switches:hot swap, silent clicks:quiet, adjustable height:height adjustable, hdmi output:hdmi, backlight:lit keys | computer stuff, desk tech
Smart Home | protocol | smart plug:wifi socket,remote outlet; motion sensor:movement detector,presence sensor; smart thermostat:heating control,radiator control; indoor camera:pet cam,security cam | matte plastic:plastic, tempered glass:glass, recycled plastic:recycled, brushed aluminium:metal | energy meter:power meter, night vision:night, voice control:alexa, geofencing:away mode, open window mode:window | home automation, connected home
Gaming | platform | gaming headset:game headphones,console headset; game controller:gamepad,joypad; gaming chair:racing chair,streamer chair; led light bar:rgb bar,monitor light | breathable fabric:fabric, aluminium:metal, pu leather:leather, soft touch plastic:soft touch | detachable microphone:mic, hall effect sticks:no drift, lumbar cushion:back support, app control:app, cross platform link:pc | gamer setup, streaming gear
Phone Accessories | port | power bank:portable charger,battery pack; phone case:mobile cover,phone cover; wireless charger:charging pad,qi station; phone tripod:selfie stick,mobile stand | recycled plastic:recycled, braided nylon:braided, vegan leather:leather, aluminium:metal | fast charging:quick charge, magnetic ring:magnet, camera protection:bumper, remote shutter:remote, solar panel:solar | phone stuff, mobile gear
""",
    "Clothing": """
Jackets | clothing | rain jacket:waterproof coat,rain mac; down jacket:puffer,winter coat; fleece jacket:warm sweater,polar jacket; windbreaker:wind jacket,light jacket | three layer membrane:membrane, recycled polyester:recycled, goose down:down, waxed cotton:wax | storm hood:hood, underarm zips:vents, packable pocket:foldable, fleece lining:lined, two way zip:two zips | outerwear, coat for winter
Base Layers | clothing | merino shirt:wool tee,thermal top; thermal leggings:long johns,thermal tights; cycling jersey:bike shirt,riding top; compression tights:running tights,sports leggings | merino wool:wool, bamboo viscose:bamboo, recycled polyester:recycled, silk blend:silk | flat seams:no chafing, thumb loops:thumb holes, half zip:zip neck, back pockets:pockets, odour control:anti smell | underwear for sport, layering
Shoes & Boots | shoe | hiking boots:walking boots,mountain shoes; winter boots:snow boots,lined boots; sandals:summer shoes,trek sandals; canvas sneakers:plimsolls,casual shoes | nubuck leather:leather, full grain leather:real leather, cotton canvas:canvas, recycled knit:knit | vibration damping sole:cushioned, waterproof lining:waterproof, wool insole:warm, ankle padding:ankle support, quick lacing:no tie | footwear, walking shoes
Travel Bags | volume | cabin suitcase:carry on,hand luggage; weekender bag:holdall,overnight bag; packing cubes:luggage organiser,clothes pouches; sling bag:crossbody,camera bag | polycarbonate:hard shell, waxed canvas:canvas, full grain leather:leather, recycled nylon:nylon | laptop sleeve:laptop, silent wheels:wheels, trolley strap:trolley, hidden pocket:anti theft, compression zip:compression | luggage, bag for trip
Hats & Gloves | clothing | wool beanie:winter hat,knit cap; sun hat:wide brim hat,bucket hat; liner gloves:thin gloves,touch gloves; neck gaiter:buff,tube scarf | merino wool:wool, cotton twill:cotton, fleece:polar, recycled polyester:recycled | touchscreen tips:touchscreen, chin cord:strap, uv protection:sun protection, fleece band:warm ears, foldable brim:packable | cold weather accessories, sun protection wear
Kids' Clothing | kids | rain suit:puddle suit,splash trousers; kids pyjamas:sleepwear,nightwear; football shirt:team jersey,sports top kids; snowsuit:winter overall,snow overall | organic cotton:cotton, recycled polyester:recycled, merino wool:wool, softshell:soft shell | reflective stripes:reflective, foldable cuffs:grow along, name label:name tag, knee patches:reinforced, detachable hood:hood | clothes for children, kids outfit
""",
    "Health & Beauty": """
Skin Care | volume ml | face cream:moisturiser,day cream; sun cream:sunscreen,sunblock; lip balm:lip care,chapstick; cleansing oil:make up remover,face wash | shea butter:shea, aloe vera:aloe, jojoba:jojoba oil, zinc oxide:mineral | high sun factor:spf 50, hyaluronic acid:hydrating, fragrance free formula:sensitive, pump bottle:pump, vitamin c:glow | skin routine, face care
Hair Care | volume ml | shampoo bar:solid shampoo,hair soap; hair mask:deep conditioner,hair treatment; detangling brush:hair brush,wet brush; argan serum:hair oil,frizz serum | argan oil:argan, boar bristle:natural bristle, coconut:coco, bamboo:wood | frizz control:frizz, chlorine removal:swimmers, scalp massage:scalp, curl definition:curly hair, colour protection:dyed hair | hair routine, hair stuff
Supplements | tablets | magnesium capsules:muscle cramps,magnesium pills; omega capsules:fish oil,algae oil; vitamin d drops:sunshine vitamin,d3; collagen powder:beauty powder,joint powder | vegan capsule:vegan, micellised oil:oil, marine source:fish, glass bottle:glass | sleep blend:sleep, high potency:strong, no additives:clean, measuring pipette:dropper, monthly supply:month | vitamins, wellness pills
First Aid | pack | first aid kit:emergency kit,medical kit; blister plasters:heel plasters,blister pads; digital thermometer:fever thermometer,temperature meter; cooling gel pack:ice pack,cold compress | hydrocolloid:gel, waterproof nylon:waterproof, elastic cotton:elastic, latex free film:latex free | flexible tip:fast reading, quick access pockets:compact, sterile wrap:sterile, reusable sleeve:reusable, fever alarm:alarm | medicine cabinet, wound care
Recovery | firmness | foam roller:fascia roller,massage roll; massage gun:muscle gun,percussion massager; massage ball:trigger ball,lacrosse ball; compression socks:recovery socks,support stockings | cork:natural, eva foam:foam, natural rubber:rubber, merino blend:wool | vibration mode:vibrating, quiet motor:silent, deep tissue ridges:deep tissue, graduated pressure:circulation, carry pouch:bag | sore muscles, after sport
Shaving | pack | safety razor:double edge razor,wet razor; beard trimmer:hair clipper,stubble trimmer; shaving brush:lather brush,shave brush; beard oil:beard care,beard balm | chromed brass:metal, olive wood:wood, vegan bristle:vegan, cedar oil:cedar | blade set:blades, length guards:combs, travel case:case, sensitive skin head:sensitive, drip stand:stand | grooming, shave set
""",
    "Garden": """
Planters | diameter | window box:balcony planter,flower box; hanging planter:hanging pot,macrame pot; self watering pot:plant pot,reservoir pot; raised bed:garden box,vegetable bed | terracotta:clay, larch wood:wooden, fibre cement:concrete, recycled plastic:plastic | water gauge:water level, railing brackets:railing, drainage plug:drainage, trellis:climbing plants, wheels:rolling | pots, balcony stuff
Garden Tools | length | hand trowel:planting shovel,small spade; pruning shears:secateurs,rose scissors; garden gloves:thorn gloves,work gloves; weeding fork:weed puller,dandelion fork | ash wood:wooden, carbon steel:steel, stainless steel:rust free, goatskin leather:leather | depth marks:scale, sap groove:bypass, long cuffs:long sleeve, safety lock:lock, hanging loop:hook | gardening tools, yard work
Seeds & Soil | pack | herb seeds:kitchen herbs,basil seeds; wildflower mix:bee flowers,meadow seeds; potting compost:plant soil,flower earth; plant feed:fertiliser,plant food | organic seed:organic, coconut coir:coco, peat free mix:peat free, seaweed extract:seaweed | growing guide:instructions, slow release grains:long lasting, germination tray:starter, resealable bag:resealable, heirloom selection:old varieties | things to sow, growing set
Watering | length | watering can:plant pourer,water jug; garden hose:water pipe,flexi hose; drip irrigation kit:drip system,auto watering; rain barrel:water butt,rainwater tank | galvanised steel:zinc, recycled plastic:plastic, food safe rubber:rubber, copper:coppery | long spout:indoor plants, brass connectors:fittings, timer:automatic, filter lid:leaf filter, wall reel:wall mount | irrigation, holiday watering
Garden Furniture | persons | folding chair:camp chair,deck chair; bistro table:balcony table,small garden table; hanging chair:egg chair,swing seat; sun lounger:recliner,beach bed | acacia wood:wooden, powder coated steel:metal, rope weave:rope, recycled plastic:plastic | headrest:pillow, folding frame:foldable, cup holder:drink holder, weatherproof cover:cover, adjustable back:adjustable | terrace stuff, patio set
Barbecue | diameter | charcoal grill:kettle bbq,coal barbecue; gas barbecue:gas grill,bbq station; grill tongs:bbq tongs,meat tongs; pizza stone:baking stone,bread stone | enamelled steel:enamel, cast iron:iron, cordierite:stone, rosewood:wooden | lid thermometer:thermometer, side tables:shelf, ash catcher:easy clean, locking ring:lockable, warming rack:two level | grilling, bbq stuff
""",
    "Craft & Office": """
Notebooks & Pens | paper | dotted notebook:bullet journal,dot diary; fountain pen:ink pen,nib pen; desk planner:weekly planner,calendar pad; highlighter set:text markers,pastel markers | recycled paper:recycled, stone paper:waterproof, brushed brass:metal, linen cover:fabric | numbered pages:page numbers, fine nib:thin, elastic band:band, perforated sheets:tear off, ribbon marker:bookmark | stationery, writing stuff
Desks & Chairs | dimension | standing desk:sit stand desk,height adjustable table; office chair:desk chair,computer chair; footrest:foot stool,leg rest; monitor arm:screen mount,display arm | bamboo:wood, breathable mesh:mesh, solid oak:wooden, powder coated steel:metal | memory presets:electric, lumbar support:back pain, cable tray:cables, tilt mechanism:tilt, armrests:arms | office furniture, home office
Painting | pack | watercolour set:aquarelle,water paints; acrylic paints:acryl colours,canvas paint; paint brush set:artist brushes,fine brushes; field easel:painting stand,art stand | natural pigment:pigments, synthetic sable:sable, beech wood:wooden, cold pressed cotton:cotton paper | metal tin:tin, water tank brush:water brush, mixing palette:palette, light fast colours:fade proof, carry strap:portable | art supplies, paint stuff
Sewing | pack | sewing machine:stitching machine,tailor machine; fabric scissors:dressmaker shears,cloth scissors; sewing kit:mending set,needle and thread; quilting fabric:patchwork cloth,cotton fat quarters | organic cotton:cotton, stainless steel:steel, die cast metal:metal, linen:flax | stitch programs:stitches, needle threader:threader, soft grip:left handed, pre cut squares:precut, storage tin:box | tailoring, sewing stuff
Knitting | weight | merino yarn:knitting wool,soft wool; circular needles:round needles,knit needles; crochet hook set:crocheting needles,hooks; yarn bowl:wool bowl,wool holder | merino wool:wool, alpaca:fluffy, birch wood:wooden, acacia wood:wood | colour gradient:rainbow, interchangeable cables:exchangeable, ergonomic handle:easy grip, hand dyed finish:hand dyed, stitch markers:markers | handwork, wool stuff
Paper Craft | pack | scrapbook album:photo book,memory album; rubber stamp set:stamps,letter stamps; cutting mat:craft mat,self healing mat; washi tape:masking tape,deco tape | kraft paper:brown paper, rice paper:japanese, photopolymer:clear, recycled card:recycled | ink pad:ink, grid lines:grid, gold foil:metallic, envelope set:envelopes, refill pages:refill | card making, diy paper
""",
    "Pets": """
Dogs | dog | dog harness:chest harness,no pull harness; dog bed:puppy bed,dog basket; chew toy:dental toy,bite toy; training leash:dog lead,long line | natural rubber:rubber, recycled nylon:nylon, memory foam:orthopedic, cotton rope:rope | reflective seams:reflective, chest ring:no pull, washable cover:washable, treat pocket:treats, padded handle:soft grip | puppy stuff, things for dogs
Cats | cat | scratching post:cat tree,climbing tree; cat litter box:cat toilet,kitty loo; feather wand:cat teaser,fishing toy cat; cat cave:cat house,kitty cave | sisal:rope, felted wool:wool, recycled plastic:plastic, seagrass:woven | hanging ball:ball, odour filter:no smell, viewing platform:lookout, bell:sound, removable cushion:cushion | kitten stuff, indoor cat
Aquarium | volume | aquarium tank:fish tank,fish bowl; canister filter:tank filter,water pump; aquarium light:plant light,tank lamp; aqua soil:tank gravel,plant substrate | crystal glass:clear glass, lava stone:lava, anodised aluminium:alu, activated carbon:carbon | sunrise timer:timer, silent pump:quiet, full spectrum:plants, curved front:panorama, spray bar:flow | fish keeping, aquascaping
Wild Birds | weight | bird feeder:seed feeder,feeding station; nest box:birdhouse,nesting box; bird bath:bird drinker,water bowl birds; fat balls:suet balls,bird food | larch wood:wooden, recycled plastic:plastic, glazed ceramic:ceramic, stainless mesh:metal | squirrel guard:squirrel proof, window suction:window, removable tray:easy clean, hanging chain:hanging, bird camera:camera | feeding birds, garden birds
Pet Travel | dog | pet carrier:transport box,cat bag; car seat cover:dog blanket car,back seat protector; travel bowl:folding bowl,dog water bottle; dog ramp:car stairs,boarding ramp | quilted oxford:waterproof, food grade silicone:silicone, aluminium:alu, mesh:breathable | seat belt clip:belt, airline size:cabin, non slip surface:anti slip, side pockets:pockets, carry loop:clip | on the road with dog, pet in car
Small Pets | cage | rabbit hutch:bunny house,hare stall; hay rack:hay feeder,grass rack; chicken coop:hen house,poultry house; willow tunnel:rodent tunnel,hideout | fir wood:wooden, willow:wicker, galvanised mesh:wire, felt:soft | pull out tray:easy clean, ramp:ladder, predator lock:fox proof, nest area:nest, run extension:outdoor run | bunny stuff, keeping hens
""",
    "Grocery": """
Coffee & Tea | weight | espresso beans:coffee beans,roast coffee; filter coffee:ground coffee,drip coffee; green tea:sencha,loose leaf tea; chai blend:spiced tea,masala tea | single origin:ethiopia, arabica:mild, organic leaf:organic, decaffeinated lot:decaf | chocolate notes:chocolaty, light roast:fruity, low acid roast:gentle, resealable bag:fresh, ginger:spicy | hot drinks, morning cup
Snacks & Bars | pack | energy bar:power bar,sports bar; trail mix:nuts and raisins,nut mix; protein bites:protein balls,fitness snack; energy gel:running gel,carb gel | oats:oat, dates:date, almonds:almond, rice syrup:maltodextrin | caffeine:wake up, sea salt:electrolytes, no added sugar:sugar free, gluten free recipe:gluten free, dark chocolate:chocolate | food for the road, quick energy
Spices & Oils | weight | olive oil:salad oil,cooking oil; curry powder:curry mix,indian spice; smoked paprika:pimenton,red pepper powder; sea salt flakes:finishing salt,coarse salt | cold pressed fruit:extra virgin, organic harvest:organic, hand picked crop:hand picked, glass jar:jar | garlic:garlicky, chilli:hot, lemon:citrus, dosing spout:pourer, herb blend:herbs | seasoning, pantry basics
Baking Ingredients | weight | bread flour:strong flour,pizza flour; baking chocolate:couverture,cooking chocolate; vanilla extract:vanilla essence,vanilla aroma; sourdough starter:natural yeast,levain | wholegrain:whole wheat, organic wheat:organic, madagascar vanilla:bourbon, cocoa:cacao | high protein:bread machine, gluten free recipe:gluten free, fine grind:fine, drops shape:chips, dried culture:dry | ingredients for cake, things to bake
Drinks | volume ml | isotonic powder:electrolyte drink,sports drink; craft lemonade:soda,soft drink; ginger beer:ginger ale,mixer; iced tea:peach tea,cold tea | real fruit:fruity, organic lemon:lemon, botanical extract:herbal, cane sugar:sugar | zero sugar:sugar free, caffeine boost:energy, returnable bottle:glass bottle, party pack:party, mint:minty | beverages, refreshment
Breakfast | weight | crunchy granola:muesli,cereal; porridge oats:oatmeal,overnight oats; baby cereal:infant porridge,baby porridge; nut butter:peanut butter,almond spread | wholegrain oats:oat, organic millet:organic, roasted almonds:almond, buckwheat:gluten free | dried berries:fruit, no added sugar:sugar free, iron enriched:iron, chia seeds:chia, cinnamon:spiced | breakfast food, morning bowl
""",
}

BRANDS = {
    "Kitchen": "Halden,Brixworth,Tavola,Kupferhof,Mornington,Oakridge,Solbrew,Cucina Nova,Pelham,Lindgren",
    "Home": "Nordhus,Willowby,Casa Luma,Hearthstone,Fjellheim,Maison Arlo,Plainfield,Everly,Loom & Co,Bricket",
    "Baby": "Tinyroo,Pebble Lane,Mamalino,Little Otter,Cradlewood,Bambini,Softstep,Nestling,Hoppel,Juno & Me",
    "Sports": "Velora,Stridewell,Apex Nine,Kinetik,Corefield,Pacer,Marathon Co,Flexion,Tidal,Ridgeway",
    "Outdoor": "Granit,Northpeak,Fernway,Tarnfell,Wildhaven,Bergwerk,Cairn & Co,Ember Trail,Kestrel,Longstrand",
    "Electronics": "Voltaire,Nimbus,Auralis,Pixelmark,Zentra,Orbita,Kaito,Lumen Labs,Bitfox,Sonara",
    "Clothing": "Alderman,Wren & Wool,Skagen Mills,Trailhead,Mistral,Hollis,Bramble,Urban Larch,Ostara,Fennick",
    "Health & Beauty": "Botanica,Pure Harbour,Vitalis,Saltmarsh,Derma Nord,Rosewell,Meadow & Mint,Kyneton,Barber Row,Alpenkraft",
    "Garden": "Greenfold,Thornbury,Gartenliebe,Wetherby,Sprout & Co,Terracina,Bloomhall,Rootwell,Dew Pond,Oldfield",
    "Craft & Office": "Inkwell,Papier Bleu,Draftsman,Woolgather,Stitchery,Quillon,Formfold,Atelier Six,Notari,Bobbin Lane",
    "Pets": "Barkley,Whiskerton,Pawson,Tailwind,Fetchwell,Aquaria,Featherby,Rufus & Co,Burrow,Kittiwake",
    "Grocery": "Harvest Moon,Golden Sheaf,Monte Verde,Spice Route,Old Mill,Fairgrove,Roastery Eleven,Citrona,Oat & Co,Millstone",
}

# Words for a use stand after "for" in titles; every department has its own.
USES = {
    "Kitchen": "small kitchens:compact, beginners:starter, large families:family, gifts:present, daily use:everyday",
    "Home": "small flats:small space, guest rooms:guests, light sleepers:better sleep, families:family friendly, rentals:rental",
    "Baby": "newborns:newborn, twins:twin, travel:on the go, grandparents:grandma, baby showers:baby shower gift",
    "Sports": "beginners:starter, women:ladies, men:mens, long distances:marathon, home training:at home",
    "Outdoor": "winter:cold weather, summer trips:summer, ultralight hikers:lightweight, families:family, beginners:starter",
    "Electronics": "travel:portable, students:student, small desks:compact, professionals:work, kids:children",
    "Clothing": "women:ladies, men:mens, winter:cold weather, summer:hot days, travel:packable",
    "Health & Beauty": "sensitive skin:gentle, athletes:sport, men:mens, women:ladies, travel:travel size",
    "Garden": "balconies:balcony, beginners:starter, small gardens:small, kids:children, gifts:present",
    "Craft & Office": "beginners:starter, kids:children, students:school, small desks:compact, gifts:present",
    "Pets": "puppies:young, large breeds:big, seniors:old, small flats:small, gifts:present",
    "Grocery": "gifts:present, families:big pack, offices:office, athletes:sport, picnics:picnic",
}

SIZES = {
    "capacity": "0.3 l,0.6 l,1 l,1.5 l,2 l",
    "diameter": "20 cm,24 cm,28 cm,32 cm",
    "length": "12 cm,20 cm,30 cm,1.2 m,2.4 m",
    "bed": "single,double,king",
    "height": "30 cm,45 cm,120 cm,160 cm",
    "dimension": "small,medium,large,extra large",
    "pack": "single,set of 2,set of 4,pack of 6,pack of 12",
    "age": "0-6 months,6-12 months,1-3 years",
    "shoe": "EU 38,EU 40,EU 42,EU 44,EU 46",
    "thickness": "3 mm,5 mm,8 mm",
    "bike": "small,medium,large",
    "body": "small,medium,large,junior",
    "load": "4 kg,8 kg,12 kg,16 kg,24 kg",
    "ball": "size 3,size 4,size 5",
    "persons": "1 person,2 persons,4 persons,6 persons",
    "temperature": "-15 °C,-5 °C,0 °C,10 °C",
    "volume": "10 l,20 l,35 l,50 l,65 l",
    "rope": "40 m,60 m,small,medium",
    "battery": "20 h,30 h,50 h",
    "optics": "35 mm,50 mm,85 mm",
    "port": "USB-C,4 ports,10000 mAh,15 W",
    "protocol": "Zigbee,Wi-Fi,Matter",
    "platform": "PC,console,universal",
    "clothing": "XS,S,M,L,XL",
    "kids": "size 92,size 104,size 116,size 128",
    "volume ml": "50 ml,100 ml,250 ml,500 ml",
    "tablets": "60 pieces,90 pieces,120 pieces",
    "firmness": "soft,medium,firm",
    "paper": "A4,A5,A6",
    "weight": "100 g,250 g,500 g,1 kg",
    "dog": "XS,S,M,L",
    "cat": "small,large,extra large",
    "cage": "80 cm,100 cm,150 cm",
}

# Taste: words of titles: words of searches. The words suit every department.
STYLES = {
    "minimal": ("Pure,Plain,Nordic", "minimalist,simple", "black,white,grey"),
    "classic": ("Classic,Heritage,Old Town", "traditional,vintage", "navy,burgundy,brown"),
    "bold": ("Bright,Happy,Pop", "fun,cheerful", "yellow,coral,teal"),
    "premium": ("Signature,Reserve,Select", "luxury,high end", "charcoal,forest green,bronze"),
    "value": ("Essential,Everyday,Basic", "cheap,affordable", "red,blue,pink"),
    "eco": ("Eco,Green,Natural", "sustainable,eco friendly", "sage,sand,oat"),
}
COLOUR_WORDS = {"grey": "gray", "navy": "dark blue", "burgundy": "wine red", "coral": "orange", "teal": "turquoise", "charcoal": "dark grey",
                "forest green": "dark green", "bronze": "golden", "sage": "light green", "sand": "beige", "oat": "cream"}  # fmt: skip

WITHOUT_COLOUR = ("Health & Beauty", "Grocery")
WITH_MODEL_NUMBER = ("Electronics",)
WITH_MODEL_NUMBER_TOO = ("Coffee Makers", "Small Appliances", "Strength Training", "Desks & Chairs", "Barbecue", "Fishing")

# A mission goes through three categories, in this order: what its shoppers look for first, then, at last.
MISSIONS = {
    "first-time parent": ("Strollers & Carriers", "Changing", "First Aid"),
    "furnishing a nursery": ("Nursery", "Baby Toys", "Storage"),
    "toddler at the table": ("Baby Feeding", "Child Safety", "Breakfast"),
    "home barista": ("Coffee Makers", "Mugs & Glasses", "Coffee & Tea"),
    "home baker": ("Bakeware", "Small Appliances", "Baking Ingredients"),
    "weeknight cook": ("Cookware", "Knives & Boards", "Spices & Oils"),
    "trail runner": ("Running", "Snacks & Bars", "Recovery"),
    "yoga regular": ("Yoga & Pilates", "Supplements", "Bath"),
    "triathlete": ("Cycling", "Swimming", "Base Layers"),
    "gym regular": ("Strength Training", "Headphones", "Shaving"),
    "football parent": ("Team Sports", "Kids' Clothing", "Drinks"),
    "long-distance hiker": ("Backpacks", "Camp Kitchen", "Shoes & Boots"),
    "winter camper": ("Tents", "Sleeping Gear", "Jackets"),
    "alpine climber": ("Climbing", "Hats & Gloves", "Skin Care"),
    "lakeside weekender": ("Fishing", "Barbecue", "Garden Furniture"),
    "travel photographer": ("Cameras", "Travel Bags", "Phone Accessories"),
    "work from home": ("Computer Accessories", "Desks & Chairs", "Notebooks & Pens"),
    "gamer with a smart flat": ("Gaming", "Smart Home", "Lighting"),
    "balcony gardener": ("Planters", "Seeds & Soil", "Wild Birds"),
    "allotment keeper": ("Garden Tools", "Watering", "Small Pets"),
    "new dog owner": ("Dogs", "Pet Travel", "Cleaning"),
    "textile crafter": ("Sewing", "Knitting", "Rugs & Cushions"),
    "homebody with a cat": ("Cats", "Bedding", "Hair Care"),
    "hobby room": ("Painting", "Paper Craft", "Aquarium"),
}
